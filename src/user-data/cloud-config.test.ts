import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { type ApfInput, apfJson, buildApfConfig, type PodNetworkSpec } from "./apf-config.ts";
import { buildCloudConfig, MAX_AUTH_JSON_BYTES } from "./cloud-config.ts";

const FIXTURES = join(import.meta.dirname, "../../test/fixtures/user-data");
const fixture = (name: string): string => readFileSync(join(FIXTURES, name), "utf8");
const stock = JSON.parse(fixture("apf.json"));
const network: PodNetworkSpec = stock["pod-network"];

const input: ApfInput = {
  podName: "r2",
  podNamespace: "default",
  network,
  tls: {
    serverKeyPem: stock["tls-server-key"],
    serverCertPem: stock["tls-server-cert"],
    clientCaPem: stock["tls-client-ca"],
  },
  profile: { minVersion: "", cipherSuites: [] },
};

interface WriteFile {
  readonly path: string;
  readonly content?: string;
}

const filesOf = (document: string, version: "1.1" | "1.2" = "1.1"): WriteFile[] =>
  parse(document, { version }).write_files;

describe("apf.json", () => {
  test("is the Go adaptor's, byte for byte", () => {
    expect(apfJson(buildApfConfig(input))).toBe(fixture("apf.json"));
  });

  test("has no TLS fields without certificates of ours, and the profile when there is one", () => {
    const { tls: _, ...plain } = input;
    const profile = { minVersion: "VersionTLS12", cipherSuites: ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"] };
    expect(Object.keys(buildApfConfig(plain))).toEqual(["pod-network", "pod-namespace", "pod-name"]);
    const config = buildApfConfig({ ...plain, profile });
    expect(config["tls-min-version"]).toBe("VersionTLS12");
    expect(Object.keys(config).slice(3)).toEqual(["tls-min-version", "tls-cipher-suites"]);
  });

  test("escapes what Go's encoder escapes", () => {
    const text = apfJson(buildApfConfig({ ...input, podName: "<a&b>\u2028" }));
    expect(text).toContain(String.raw`"\u003ca\u0026b\u003e\u2028"`);
  });
});

describe("the cloud-config", () => {
  const apf = fixture("apf.json");
  const stockDocument = fixture("cloud-config.yaml");
  const initdata = /H4sI\S+/.exec(stockDocument)?.[0] ?? "";

  test("is the Go adaptor's, byte for byte", () => {
    expect(buildCloudConfig({ apfJson: apf, initdata, scratchSpace: false })).toBe(stockDocument);
  });

  test("has only files and keys that the stock process-user-data takes, in Go's order", () => {
    const document = buildCloudConfig({
      apfJson: apf,
      authJson: '{"auths":{}}',
      initdata,
      scratchSpace: true,
    });
    expect(document.startsWith("#cloud-config\n\nwrite_files:\n")).toBe(true);
    expect(Object.keys(parse(document))).toEqual(["write_files"]);
    expect(filesOf(document)).toEqual([
      { path: "/run/peerpod/apf.json", content: `${apf}\n` },
      { path: "/run/peerpod/auth.json", content: '{"auths":{}}\n' },
      { path: "/run/peerpod/initdata", content: `${initdata}\n` },
      { path: "/run/peerpod/scratch-space.marker" },
    ]);
  });

  test("refuses pull secrets over the VM's limit, with both numbers", () => {
    const authJson = JSON.stringify({
      auths: { "registry.test": { auth: "x".repeat(MAX_AUTH_JSON_BYTES) } },
    });
    const attempt = (): string => buildCloudConfig({ apfJson: apf, authJson, scratchSpace: false });
    expect(attempt).toThrow(/pull secrets are 123\d\d bytes, the pod VM takes 12288/);
    expect(attempt).toThrow(expect.objectContaining({ kind: "too-large" }));
    const largest = `{"a":"${"x".repeat(MAX_AUTH_JSON_BYTES - 8)}"}`;
    expect(buildCloudConfig({ apfJson: apf, authJson: largest, scratchSpace: false })).toContain(largest);
  });

  test("refuses a document over the cloud's limit, saying what takes the room", () => {
    const sizeBytes = Buffer.byteLength(stockDocument);
    const build = (limitBytes: number): string =>
      buildCloudConfig({ apfJson: apf, initdata, scratchSpace: false, limitBytes });
    expect(build(sizeBytes)).toBe(stockDocument);
    expect(() => build(sizeBytes - 1)).toThrow(
      `is ${sizeBytes} bytes, this cloud takes ${sizeBytes - 1} (apf.json ${apf.length}, initdata ${initdata.length})`,
    );
  });

  test("takes nothing for initdata that is not base64", () => {
    expect(() => buildCloudConfig({ apfJson: apf, initdata: "a: b", scratchSpace: false })).toThrow(
      /not base64/,
    );
  });

  test.each(["1.1", "1.2"] as const)(
    "carries any JSON unchanged in meaning through a YAML %s parser",
    (version) => {
      fc.assert(
        fc.property(
          fc.json(),
          fc.constantFrom("", "  ", "\n", "\t\r\n"),
          fc.boolean(),
          (json, blanks, pretty) => {
            const value: unknown = JSON.parse(json);
            const authJson = blanks + (pretty ? JSON.stringify(value, null, 2) : json) + blanks;
            const [, auth, ...rest] = filesOf(
              buildCloudConfig({ apfJson: apf, authJson, scratchSpace: true }),
              version,
            );
            expect(JSON.parse(auth?.content ?? "")).toEqual(value);
            expect(rest).toEqual([{ path: "/run/peerpod/scratch-space.marker" }]);
          },
        ),
      );
    },
  );

  test.each([
    ["a line separator", '{"a":"\u2028"}'],
    ["a next-line character", '{"a":"\u0085"}'],
    ["a delete character", '{"a":"\u007f"}'],
    ["half a surrogate pair", '{"a":"\ud800"}'],
    ["a byte order mark", '{"a":"\ufeff"}'],
    ["carriage returns between the values", '{\r\n"a":\r1}'],
  ])("writes JSON with %s in ASCII", (_, authJson) => {
    const document = buildCloudConfig({ apfJson: apf, authJson, scratchSpace: false });
    const [, auth] = filesOf(document);
    expect(auth?.content).toMatch(/^[\x20-\x7e]+\n$/);
    expect(JSON.parse(auth?.content ?? "")).toEqual(JSON.parse(authJson));
  });

  test("refuses what is unsafe and no JSON", () => {
    expect(() => buildCloudConfig({ apfJson: apf, authJson: "\u0001x", scratchSpace: false })).toThrow(
      /auth.json .* is not JSON/,
    );
  });
});
