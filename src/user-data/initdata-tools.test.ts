import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  encodeInitdata,
  INITDATA_ALGORITHMS,
  type Initdata,
  initdataDigest,
  parseInitdata,
} from "./initdata.ts";
import { checkInitdata, USER_DATA_LIMITS } from "./initdata-check.ts";
import { composeInitdata, kbsFiles } from "./initdata-compose.ts";
import { expectedValues, PLATFORMS, type Platform } from "./initdata-expected.ts";

const FIXTURES = join(import.meta.dirname, "../../test/fixtures/user-data");
const fixture = (name: string): string => readFileSync(join(FIXTURES, name), "utf8");
const NOW_MS = Date.UTC(2026, 11, 1);

const expectedOn = (platform: Platform, initdata: Initdata): string | undefined =>
  expectedValues(initdata).find((value) => value.platform === platform)?.value;

describe("what a verifier must expect", () => {
  // Made with coreutils alone: { head -c32 /dev/zero; echo -n DIGEST | head -c64 | xxd -r -p; } | sha256sum
  test.each([
    ["sha256", "eb3582ac1f2b46f6df8d0962143708e8fc3f4999383b140cba139c151ed85702"],
    ["sha384", "93e6490397636ed7ae9db7ad21f3de0c5bc5b555b6460bb5fbc837b4f1fd6e05"],
    ["sha512", "5b273db17a8d11c19751c15cd26e46cde267f897b4d27ba0de498653e708312c"],
  ])("in PCR 8 is one extend with 32 bytes of the %s digest", (algorithm, pcr) => {
    expect(expectedOn("vtpm", parseInitdata(fixture(`initdata-${algorithm}.toml`)))).toBe(pcr);
  });

  test.each(INITDATA_ALGORITHMS)("in host data is the %s digest, cut or padded with zeros", (algorithm) => {
    const initdata = parseInitdata(fixture(`initdata-${algorithm}.toml`));
    const digest = initdataDigest(initdata);
    expect(expectedOn("tdx", initdata)).toBe(digest.padEnd(96, "0").slice(0, 96));
    expect(expectedOn("snp", initdata)).toBe(digest.slice(0, 64));
    expect(expectedOn("se", initdata)).toBe(digest);
  });

  test("names its source on every platform", () => {
    const values = expectedValues(parseInitdata(fixture("initdata-sha384.toml")));
    expect(values.map((value) => value.platform)).toEqual([...PLATFORMS]);
    for (const { source, rule } of values) {
      expect(source).toMatch(/trustee|guest-components|cloud-api-adaptor/);
      expect(rule).not.toBe("");
    }
  });
});

describe("a document that is put together", () => {
  test("of the fixture's files has the fixture's bytes", () => {
    const toml = fixture("initdata-sha384.toml");
    const { data } = parseInitdata(toml);
    expect(composeInitdata({ algorithm: "sha384", files: data })).toBe(toml);
  });

  test("carries every text unchanged", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.string({ unit: fc.constantFrom("'", '"', "\\", "\n", "\r", "\t", "\0", "\x7f", "é", "🙂", "a") }),
    );
    fc.assert(
      fc.property(text, text, fc.constantFrom(...INITDATA_ALGORITHMS), (aa, policy, algorithm) => {
        const toml = composeInitdata({ algorithm, files: { "aa.toml": aa, "policy.rego": policy } });
        const initdata = parseInitdata(encodeInitdata(toml));
        expect(initdata.algorithm).toBe(algorithm);
        expect(initdata.data).toEqual({ "aa.toml": aa, "policy.rego": policy });
      }),
    );
  });

  test("for a key broker has its address and certificate in both files", () => {
    const certificatePem = fixture("throwaway-server-ca.crt");
    const files = kbsFiles({ url: "https://kbs.example.test", certificatePem });
    const initdata = parseInitdata(composeInitdata({ algorithm: "sha256", files }));
    const findings = checkInitdata(initdata, { limits: [], mustFit: true, nowMs: NOW_MS });
    expect(findings.filter((finding) => finding.level === "error")).toEqual([]);
    expect(findings.filter((finding) => /certificate of/.test(finding.text))).toHaveLength(2);
    for (const file of Object.values(files)) expect(file).toContain('url = "https://kbs.example.test"');
  });
});

describe("checking", () => {
  const head = `algorithm = "sha384"\nversion = "0.1.0"\n\n[data]\n`;
  const policy = `"policy.rego" = '''\npackage agent_policy\n'''\n`;
  const worst = (toml: string, nowMs = NOW_MS): string[] =>
    checkInitdata(parseInitdata(toml), { limits: USER_DATA_LIMITS, mustFit: true, nowMs })
      .filter((finding) => finding.level !== "ok")
      .map(({ level, text }) => `${level}: ${text}`);

  test("finds nothing wrong with the recorded document", () => {
    expect(worst(fixture("initdata-sha384.toml"))).toEqual([]);
  });

  test.each([
    [
      "another version",
      `algorithm = "sha384"\n  version = "0.2.0"\n[data]\n${policy}`,
      /^error: line 2, column 3: version is "0.2.0"; .* takes "0.1.0" only/,
    ],
    ["an unknown file", `${head}${policy}"x.crt" = ''`, /^warning: line 8, column 1: \[data\] has "x.crt"/],
    ["no policy", `${head}"aa.toml" = ''`, /^warning: there is no policy.rego/],
    ["a policy of another package", `${head}"policy.rego" = 'package x'`, /^error: line 5, .* of package x;/],
    [
      "a broken file",
      `${head}${policy}"aa.toml" = '''\na = 1\nb = \n'''`,
      /^error: line 8, column 1: line 2, column \d+ of aa.toml: not TOML: /,
    ],
    [
      "a private key",
      `${head}${policy}"cdh.toml" = '''\nkey = """\n${fixture("throwaway-client.key")}"""\n'''`,
      /^error: line 8, column 1: line 2 of cdh.toml: a private key/,
    ],
    [
      "a damaged certificate",
      `${head}${policy}"cdh.toml" = '''\nx = """\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"""\n'''`,
      /^error: .*line 2 of cdh.toml: not a certificate/,
    ],
  ])("says where there is %s", (_, toml, message) => {
    const [finding] = worst(toml);
    expect(finding).toMatch(message);
    expect(worst(toml).join()).not.toContain("BEGIN");
  });

  test("finds a certificate that has ended, and one that has not begun", () => {
    const files = kbsFiles({ url: "https://kbs", certificatePem: fixture("throwaway-server-ca.crt") });
    const toml = composeInitdata({
      algorithm: "sha384",
      files: { ...files, "policy.rego": "package agent_policy" },
    });
    expect(worst(toml)).toEqual([]);
    expect(worst(toml, Date.UTC(2100, 0, 1))[0]).toMatch(/^error: .* ended on /);
    expect(worst(toml, 0)[0]).toMatch(/^warning: .* begins on /);
  });

  test("refuses what no cloud's user data can hold, and warns where pull secrets may not fit", () => {
    const noise = (bytes: number): string => {
      let text = "";
      for (let n = 0; text.length < bytes; n++) text += createHash("sha512").update(`${n}`).digest("hex");
      return `${head}"policy.rego" = '''\npackage agent_policy\n# ${text}'''`;
    };
    const levels = (toml: string): string[] =>
      worst(toml).map((text) => text.replace(/^(\w+): (\w+): .*/, "$1 $2"));
    expect(levels(noise(4_000))).toEqual([]);
    expect(levels(noise(16_000))).toEqual(["warning aws"]);
    expect(levels(noise(30_000))).toEqual(["error aws"]);
    expect(levels(noise(80_000))).toEqual(["error aws", "error azure", "warning ibmcloud"]);
    expect(levels(noise(300_000)).slice(0, 3)).toEqual(["error aws", "error azure", "error ibmcloud"]);
    expect(worst(noise(500_000)).at(-1)).toMatch(/all annotations of a pod together may have 262144/);
    const unsure = { limits: USER_DATA_LIMITS, mustFit: false, nowMs: NOW_MS };
    const findings = checkInitdata(parseInitdata(noise(80_000)), unsure);
    expect(findings.filter((finding) => finding.level === "error")).toEqual([]);
  });
});
