import { execFileSync, spawnSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Secret } from "../platform/index.ts";
import { handshake } from "./handshake-peers.ts";
import { issueVmIdentity, type VmIdentity } from "./issue.ts";
import { type TlsClientInput, tlsClientOptions, tlsServerOptions } from "./options.ts";
import { DEFAULT_TLS_PROFILE } from "./profile.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const FIXTURES = join(import.meta.dirname, "../../test/fixtures/user-data");
const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

const clientOf = (identity: VmIdentity, change: Partial<TlsClientInput> = {}) =>
  tlsClientOptions({ profile: DEFAULT_TLS_PROFILE, skipVerify: false, ...identity, ...change });

const serverOf = (identity: VmIdentity, clientCaPem: string = identity.clientCertPem) =>
  tlsServerOptions({
    profile: DEFAULT_TLS_PROFILE,
    certPem: identity.serverCertPem,
    keyPem: identity.serverKeyPem,
    clientCaPem,
  });

const issue = (serverName = "podvm-web-0a1b2c3d", nowMs = Date.now()) =>
  issueVmIdentity({ serverName, nowMs });

/** Extension names in openssl's text, in their order, with criticality. */
function extensionsOf(pem: string): string[] {
  const text = execFileSync("openssl", ["x509", "-noout", "-text"], { input: pem }).toString();
  return [...text.matchAll(/^ {12}(X509v3 [A-Za-z ]+): ?(critical)?/gm)].map(
    (match) => `${match[1]}${match[2] ? " critical" : ""}`,
  );
}

describe("a VM's identity", () => {
  test("has the subjects, name and validity of the Go adaptor's certificates", async () => {
    const nowMs = Date.UTC(2026, 10, 23, 12);
    const identity = await issue("podvm-web-0a1b2c3d", nowMs);
    const [ca, server, client] = [identity.caPem, identity.serverCertPem, identity.clientCertPem].map(
      (pem) => new X509Certificate(pem),
    );
    expect(ca?.subject).toBe("O=agent-protocol-forwarder");
    expect(server?.subject).toBe("O=agent-protocol-forwarder\nCN=podvm-web-0a1b2c3d");
    expect(server?.subjectAltName).toBe("DNS:podvm-web-0a1b2c3d");
    expect(server?.issuer).toBe("O=agent-protocol-forwarder");
    expect(client?.subject).toBe("O=cloud-api-adaptor");
    expect(client?.issuer).toBe("O=cloud-api-adaptor");
    expect([ca?.ca, server?.ca, client?.ca]).toEqual([true, false, false]);
    for (const certificate of [ca, server, client]) {
      expect(certificate?.validFromDate.getTime()).toBe(nowMs - 5 * 60 * 1000);
      expect(certificate?.validToDate.getTime()).toBe(nowMs - 5 * 60 * 1000 + 730 * DAY_MS);
      expect(certificate?.publicKey.asymmetricKeyDetails?.namedCurve).toBe("prime256v1");
    }
    expect(ca && server?.checkIssued(ca) && server.verify(ca.publicKey)).toBe(true);
    expect(client?.verify(client.publicKey)).toBe(true);
  });

  test("carries its keys as PKCS#8, fitting their certificates, and does not show them", async () => {
    const identity = await issue();
    expect(identity.serverKeyPem.reveal()).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
    const pairs = [
      [identity.serverCertPem, identity.serverKeyPem],
      [identity.clientCertPem, identity.clientKeyPem],
    ] as const;
    for (const [certificate, key] of pairs) {
      expect(new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key.reveal()))).toBe(true);
    }
    expect(JSON.stringify(identity)).not.toContain("PRIVATE KEY");
  });

  test("is another one for each VM: no key, serial number or authority is used twice", async () => {
    const [one, two] = await Promise.all([issue(), issue()]);
    const texts = [one, two].flatMap((each) => [each.caPem, each.serverCertPem, each.clientCertPem]);
    const serials = texts.map((pem) => new X509Certificate(pem).serialNumber);
    const keys = texts.map((pem) =>
      new X509Certificate(pem).publicKey.export({ type: "spki", format: "pem" }),
    );
    expect(new Set(serials).size).toBe(6);
    expect(new Set(keys).size).toBe(6);
  });

  test("is refused for what is not a DNS label", async () => {
    await expect(issue("podvm.example")).rejects.toMatchObject({ kind: "internal" });
    await expect(issue("x".repeat(64))).rejects.toMatchObject({ kind: "internal" });
  });

  test.skipIf(!hasOpenssl)("satisfies openssl verify as server and as client (needs openssl)", async () => {
    const directory = mkdtempSync(join(tmpdir(), "tls-"));
    try {
      const identity = await issue();
      const file = (name: string, pem: string): string => {
        writeFileSync(join(directory, name), pem);
        return join(directory, name);
      };
      const [ca, server, client] = [
        file("ca", identity.caPem),
        file("server", identity.serverCertPem),
        file("client", identity.clientCertPem),
      ];
      const verify = (...args: string[]): string => execFileSync("openssl", ["verify", ...args]).toString();
      expect(
        verify("-purpose", "sslserver", "-verify_hostname", identity.serverName, "-CAfile", ca, server),
      ).toContain("OK");
      expect(verify("-purpose", "sslclient", "-CAfile", client, client)).toContain("OK");
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test.skipIf(!hasOpenssl)(
    "has the extensions of the fixtures made in Go's profile (needs openssl)",
    async () => {
      const identity = await issue();
      const fixture = (name: string): string => readFileSync(join(FIXTURES, name), "utf8");
      expect(extensionsOf(identity.caPem)).toEqual(extensionsOf(fixture("throwaway-server-ca.crt")));
      expect(extensionsOf(identity.clientCertPem)).toEqual(extensionsOf(fixture("throwaway-client.crt")));
      const apf = JSON.parse(fixture("apf.json"));
      const ofGo = extensionsOf(apf["tls-server-cert"]).filter(
        (name) => !name.includes("Subject Key Identifier"),
      );
      expect(extensionsOf(identity.serverCertPem)).toEqual(ofGo);
    },
  );
});

describe.each(["TLSv1.2", "TLSv1.3"] as const)("over %s", (version) => {
  const only = { minVersion: version, maxVersion: version };

  test("adaptor and VM accept each other", async () => {
    const identity = await issue();
    const result = await handshake({ ...serverOf(identity), ...only }, clientOf(identity));
    expect(result).toMatchObject({ protocol: version, echoed: "hello" });
  });

  test("a VM with another name is refused", async () => {
    const identity = await issue("podvm-one");
    const client = clientOf(identity, { serverName: "podvm-two" });
    await expect(handshake({ ...serverOf(identity), ...only }, client)).rejects.toMatchObject({
      code: "ERR_TLS_CERT_ALTNAME_INVALID",
    });
  });

  test("a VM of another authority is refused, even under the right name", async () => {
    const [mine, theirs] = await Promise.all([issue(), issue()]);
    const attempt = handshake({ ...serverOf(theirs, mine.clientCertPem), ...only }, clientOf(mine));
    await expect(attempt).rejects.toThrow(/certificate/);
  });

  test("an expired certificate is refused", async () => {
    const [old, { clientCertPem, clientKeyPem }] = await Promise.all([
      issue("podvm-old", Date.now() - 731 * DAY_MS),
      issue(),
    ]);
    const attempt = handshake(
      { ...serverOf(old, clientCertPem), ...only },
      clientOf(old, { clientCertPem, clientKeyPem }),
    );
    await expect(attempt).rejects.toMatchObject({ code: "CERT_HAS_EXPIRED" });
  });

  test("the VM refuses a client that is not its adaptor, and one without a certificate", async () => {
    const [vm, stranger] = await Promise.all([issue(), issue()]);
    const wrong = clientOf(vm, {
      clientCertPem: stranger.clientCertPem,
      clientKeyPem: stranger.clientKeyPem,
    });
    const { cert: _cert, key: _key, ...none } = clientOf(vm);
    await expect(handshake({ ...serverOf(vm), ...only }, wrong)).rejects.toThrow();
    await expect(handshake({ ...serverOf(vm), ...only }, none)).rejects.toThrow();
  });
});

test("TLS_SKIP_VERIFY lets any certificate pass", async () => {
  const [mine, theirs] = await Promise.all([issue(), issue()]);
  const result = await handshake(serverOf(theirs, mine.clientCertPem), clientOf(mine, { skipVerify: true }));
  expect(result.echoed).toBe("hello");
});

test("the fixtures' Go-profile certificates pass between our options", async () => {
  const read = (name: string): string => readFileSync(join(FIXTURES, name), "utf8");
  const apf = JSON.parse(read("apf.json"));
  const server = tlsServerOptions({
    profile: DEFAULT_TLS_PROFILE,
    certPem: apf["tls-server-cert"],
    keyPem: new Secret(apf["tls-server-key"]),
    clientCaPem: apf["tls-client-ca"],
  });
  const client = tlsClientOptions({
    profile: DEFAULT_TLS_PROFILE,
    serverName: "podvm-r2-66e64b32",
    caPem: read("throwaway-server-ca.crt"),
    clientCertPem: read("throwaway-client.crt"),
    clientKeyPem: new Secret(read("throwaway-client.key")),
    skipVerify: false,
  });
  expect((await handshake(server, client)).protocol).toBe("TLSv1.3");
});
