import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadCustomIdentity } from "./custom-identity.ts";
import { issueVmIdentity, type VmIdentity } from "./issue.ts";

let directory: string;
let mine: VmIdentity;
let other: VmIdentity;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "custom-tls-"));
  [mine, other] = await Promise.all([
    issueVmIdentity({ serverName: "podvm-server", nowMs: Date.now() }),
    issueVmIdentity({ serverName: "podvm-server", nowMs: Date.now() }),
  ]);
});

afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

const load = (change: Partial<Record<"ca" | "cert" | "key", string>> = {}) =>
  loadCustomIdentity({
    caFile: file("ca.crt", change.ca ?? mine.caPem),
    certFile: file("client.crt", change.cert ?? mine.clientCertPem),
    keyFile: file("client.key", change.key ?? mine.clientKeyPem.reveal()),
  });

describe("the operator's own certificates", () => {
  test("are taken as they are, for the server name podvm-server", async () => {
    const identity = await load({ ca: `# two authorities\n${mine.caPem}${other.caPem}` });
    expect(identity.serverName).toBe("podvm-server");
    expect(identity.caPem).toContain(other.caPem);
    expect(identity.clientCertPem).toBe(mine.clientCertPem);
    expect(identity.clientKeyPem.reveal()).toBe(mine.clientKeyPem.reveal());
  });

  test("are refused when the key belongs to another certificate", async () => {
    await expect(load({ key: other.clientKeyPem.reveal() })).rejects.toThrow(
      /CERT_KEY=.*client.key is not the key of the certificate in CERT_FILE=/,
    );
  });

  test("are refused when a file is no PEM, or damaged PEM, naming variable and file", async () => {
    await expect(load({ ca: "hello" })).rejects.toThrow(/CACERT_FILE=.*ca.crt holds no PEM certificate/);
    await expect(load({ cert: mine.clientCertPem.replace("MII", "AAA") })).rejects.toThrow(
      /CERT_FILE=.*client.crt: certificate 1 of 1 cannot be parsed/,
    );
    await expect(load({ key: mine.clientCertPem })).rejects.toThrow(
      /CERT_KEY=.*client.key is not an unencrypted PEM private key/,
    );
  });

  test("are refused when one is missing or cannot be read", async () => {
    const { caPem } = mine;
    const caFile = file("ca.crt", caPem);
    await expect(loadCustomIdentity({ caFile, certFile: "", keyFile: "" })).rejects.toThrow(
      /CERT_FILE is not set/,
    );
    const attempt = loadCustomIdentity({
      caFile,
      certFile: "/nonexistent/x.crt",
      keyFile: "/nonexistent/x.key",
    });
    await expect(attempt).rejects.toThrow(/CERT_FILE=\/nonexistent\/x.crt cannot be read: ENOENT/);
    await expect(attempt).rejects.toMatchObject({ kind: "invalid-config" });
  });

  test("never put the key into an error", async () => {
    const secret = mine.clientKeyPem.reveal().split("\n")[1] ?? "";
    const damaged = mine.clientKeyPem.reveal().replace("-----END", "----END");
    const error: unknown = await load({ key: damaged }).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(Error);
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(secret);
  });
});
