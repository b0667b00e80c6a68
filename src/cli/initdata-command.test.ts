import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { PROVIDERS } from "../../providers/index.ts";
import { silentLog, systemClock, systemExec } from "../platform/index.ts";
import { parseInitdata, USER_DATA_LIMITS } from "../user-data/index.ts";
import { parseFlags } from "./go-flags.ts";
import { INITDATA_COMMANDS, type InitdataAction } from "./initdata-command.ts";
import { readOptions } from "./options.ts";
import { main } from "./program.ts";

const FIXTURES = join(import.meta.dirname, "../../test/fixtures/user-data");
const TOML = join(FIXTURES, "initdata-sha384.toml");
const ENCODED = join(FIXTURES, "initdata-sha384.gz.b64");
const ANNOTATION = "io.katacontainers.config.hypervisor.cc_init_data";
const DIGEST =
  "81a77b93a15b9c8915ebec4e3fa7ae26f912778f1e177ebc7bf7267c844a0b1b77faa61e7c8c4684db60226c5980de90";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "initdata-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function put(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

/** Runs one command as the command line would; what it throws is thrown. */
async function run(action: InitdataAction, args: readonly string[], input: string | Uint8Array = "") {
  const command = INITDATA_COMMANDS[action];
  const flags = parseFlags(`initdata ${action}`, command.options, args, 1);
  const options = readOptions(command.options, { flags: flags.values, env: {} });
  expect(options.problems).toEqual([]);
  const said = { out: "", err: "" };
  async function* stdin(): AsyncGenerator<Uint8Array> {
    yield typeof input === "string" ? Buffer.from(input) : input;
  }
  const status = await command.run(options, {
    word: flags.words[0] ?? "",
    stdin: stdin(),
    nowMs: Date.UTC(2026, 11, 1),
    out: (text) => {
      said.out += text;
    },
    err: (text) => {
      said.err += text;
    },
  });
  return { status, ...said };
}

describe("encode", () => {
  test("of a document is what the stock encoder made of it, decoded", async () => {
    const { out, status } = await run("encode", [TOML]);
    const stock = parseInitdata(await readFile(ENCODED, "utf8"));
    expect(status).toBe(0);
    expect(out).toMatch(/^[A-Za-z0-9+/]+=*\n$/);
    expect(parseInitdata(out).toml.equals(stock.toml)).toBe(true);
    expect((await run("encode", ["-"], await readFile(TOML, "utf8"))).out).toBe(out);
    expect((await run("encode", [], await readFile(ENCODED, "utf8"))).out).toBe(out);
  });

  test("gives an annotation that can be pasted into a pod", async () => {
    const { out } = await run("encode", ["-output", "annotation", TOML]);
    const value = parse(out).metadata.annotations[ANNOTATION];
    expect(parseInitdata(value).toml.toString()).toBe(await readFile(TOML, "utf8"));
  });

  test("of a folder is the document of its files, and flags take the place of single ones", async () => {
    const { data } = parseInitdata(await readFile(TOML, "utf8"));
    for (const [name, content] of Object.entries(data)) await put(name, content);
    expect((await run("encode", [folder, "-output=toml"])).out).toBe(await readFile(TOML, "utf8"));
    await mkdir(join(folder, ".hidden"));
    const policy = await put(".other.rego", "package agent_policy\n");
    const { out } = await run("encode", [
      folder,
      "-policy",
      policy,
      "-algorithm",
      "sha256",
      "-output",
      "toml",
    ]);
    expect(parseInitdata(out)).toMatchObject({ algorithm: "sha256" });
    expect({ ...parseInitdata(out).data }).toEqual({ ...data, "policy.rego": "package agent_policy\n" });
  });

  test("of flags alone writes both files for the key broker", async () => {
    const policy = await put("policy.rego", "package agent_policy\n");
    const certificate = join(FIXTURES, "throwaway-server-ca.crt");
    const flags = ["-kbs-url", "https://kbs.example.test", "-kbs-cert", certificate, "-policy", policy];
    const { out, err } = await run("encode", [...flags, "-output", "json"]);
    const { data } = parseInitdata(JSON.parse(out).annotations[ANNOTATION]);
    expect(err).toBe("");
    expect(data["aa.toml"]).toContain("BEGIN CERTIFICATE");
    expect(data["cdh.toml"]).toContain('url = "https://kbs.example.test"');
    expect(JSON.parse(out).algorithm).toBe("sha384");
  });

  test("says what is wrong and gives nothing, unless it is forced", async () => {
    const path = await put("policy.rego", "package other\n");
    await expect(run("encode", ["-policy", path])).rejects.toMatchObject({ kind: "invalid-initdata" });
    const forced = await run("encode", ["-policy", path, "-force"]);
    expect(forced.err).toMatch(/^error: .*policy.rego is of package other/);
    expect(parseInitdata(forced.out).data["policy.rego"]).toBe("package other\n");
  });

  test.each([
    [
      "a folder with a file that no VM takes",
      () => put("ca.crt", "x").then(() => [folder]),
      /ca\.crt, which/,
    ],
    ["a folder without any", async () => [folder], /none of aa\.toml, cdh\.toml, policy\.rego/],
    ["a document and a flag", async () => [TOML, "-aa", TOML], /-aa has no place/],
    ["a certificate without an address", async () => ["-kbs-cert", TOML], /goes with -kbs-url/],
    ["a file that is not there", async () => [join(folder, "no")], /cannot be read: ENOENT/],
  ])("refuses %s", async (_, args, message) => {
    const attempt = run("encode", await args());
    await expect(attempt).rejects.toThrow(message);
    await expect(attempt).rejects.toMatchObject({ kind: "invalid-config" });
  });
});

describe("decode", () => {
  test("gives the document byte for byte, its parts, or one file", async () => {
    expect((await run("decode", [ENCODED])).out).toBe(await readFile(TOML, "utf8"));
    const parts = JSON.parse((await run("decode", ["-output", "json", ENCODED])).out);
    expect(parts).toMatchObject({ algorithm: "sha384", digest: DIGEST });
    expect((await run("decode", ["-key", "policy.rego", ENCODED])).out).toBe(parts.data["policy.rego"]);
    await expect(run("decode", ["-key", "x", ENCODED])).rejects.toThrow("has no x; it has aa.toml");
  });

  test("refuses bytes that are not UTF-8: read as if they were, they would have another digest", async () => {
    const path = await put("x.toml", Buffer.from('algorithm = "sha256"\n# \xff', "latin1"));
    await expect(run("decode", [path])).rejects.toThrow(/x\.toml is not UTF-8/);
  });
});

describe("digest", () => {
  test("lists the value of each platform with rule and source", async () => {
    const { out } = await run("digest", [ENCODED]);
    expect(out.split("\n")[0]).toBe(`sha384 ${DIGEST}`);
    for (const field of ["PCR 8", "MRCONFIGID", "HOSTDATA", "se.user_data"]) expect(out).toContain(field);
    expect(out.match(/^ {2}source: /gm)).toHaveLength(4);
  });

  test("gives one platform's value alone, for scripts", async () => {
    expect((await run("digest", ["-platform", "snp", TOML])).out).toBe(`${DIGEST.slice(0, 64)}\n`);
    const one = JSON.parse((await run("digest", ["-platform", "tdx", "-output", "json", TOML])).out);
    expect(one).toMatchObject({ field: "MRCONFIGID", value: DIGEST });
  });
});

describe("verify", () => {
  test("ends with 0 when all is well, also when the digest is the wanted one", async () => {
    const { status, out } = await run("verify", ["-digest", DIGEST.toUpperCase(), ENCODED]);
    expect(status).toBe(0);
    expect(out).toMatch(/^ok {5} +TOML with algorithm sha384 and version 0\.1\.0\n/);
    expect(out).not.toMatch(/^(error|warning)/m);
  });

  test("ends with 1 for a wrong document or digest, and says where", async () => {
    expect(await run("verify", ["-digest", "00", TOML])).toMatchObject({ status: 1 });
    const broken = await run("verify", ["-output", "json"], 'algorithm = "sha256"\nversion = \n');
    expect(broken.status).toBe(1);
    expect(JSON.parse(broken.out)).toMatchObject({
      valid: false,
      findings: [{ level: "error", text: expect.stringMatching(/line 2, column \d+, key version/) }],
    });
  });

  test("knows the limits of this build's providers", async () => {
    const context = {
      clock: systemClock,
      exec: systemExec,
      log: silentLog,
      owner: { clusterId: "", nodeName: "" },
    };
    const env = {
      AZURE_CLIENT_ID: "00000000-0000-0000-0000-000000000002",
      AZURE_CLIENT_SECRET: "none",
      AZURE_TENANT_ID: "00000000-0000-0000-0000-000000000003",
      AZURE_SUBSCRIPTION_ID: "00000000-0000-0000-0000-000000000001",
      AZURE_REGION: "eastus",
      AZURE_RESOURCE_GROUP: "group",
      AZURE_SUBNET_ID:
        "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/group/providers/Microsoft.Network/virtualNetworks/v/subnets/s",
      AZURE_IMAGE_ID: "/CommunityGalleries/g/Images/i/Versions/1.0.0",
      IBMCLOUD_API_KEY: "key",
      IBMCLOUD_PODVM_IMAGE_ID: "r010-00000000-0000-0000-0000-000000000001",
      IBMCLOUD_VPC_ENDPOINT: "https://us-east.iaas.example.test/v1",
      IBMCLOUD_ZONE: "us-east-1",
      IBMCLOUD_VPC_ID: "r010-00000000-0000-0000-0000-000000000002",
      IBMCLOUD_VPC_SUBNET_ID: "0757-00000000-0000-0000-0000-000000000003",
      IBMCLOUD_VPC_SG_ID: "r010-00000000-0000-0000-0000-000000000004",
      IBMCLOUD_SECURITY_GROUP_IDS: "r010-00000000-0000-0000-0000-000000000004",
      IBMCLOUD_PODVM_INSTANCE_PROFILE_NAME: "bx2-2x8",
    };
    for (const { provider: name, bytes } of USER_DATA_LIMITS.filter((limit) => limit.provider in PROVIDERS)) {
      const module = await PROVIDERS[name]?.();
      const options = readOptions(module?.options ?? [], { flags: new Map(), env });
      const provider = await module?.create(context, options);
      expect(provider?.limits.userDataBytes, name).toBe(bytes);
      await provider?.close();
    }
    expect(Object.keys(PROVIDERS)).toEqual(expect.arrayContaining(["azure", "ibmcloud"]));
  });
});

test("statuses of the command line: 0 done, 1 a wrong document, 2 a wrong command line", async () => {
  const terminal = { env: {}, out: () => undefined, err: () => undefined };
  const wrong = await put("wrong.toml", "algorithm = 1");
  expect(await main(["initdata", "decode", wrong], terminal)).toBe(1);
  expect(await main(["initdata", "decode", join(folder, "missing")], terminal)).toBe(2);
  expect(await main(["initdata", "digest", "-platform", "x", wrong], terminal)).toBe(2);
  expect(await main(["initdata"], terminal)).toBe(2);
  expect(await main(["initdata", "digest", "--help"], terminal)).toBe(0);
});
