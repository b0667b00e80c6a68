import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { connect, createServer as createTlsServer } from "node:tls";
import { describe, expect, test } from "vitest";
import { Secret } from "../platform/index.ts";
import {
  BACKDATE_MS,
  inspectCertificate,
  isKeyOf,
  issueAuthority,
  issueServerCertificate,
  splitCertificates,
} from "./authority.ts";

const HOUR_MS = 3_600_000;
const NAMES = ["hook.space.svc", "hook.space.svc.cluster.local", "localhost"];
const nowMs = Date.UTC(2026, 10, 26);

const authorityOf = (name: string, now = nowMs) =>
  issueAuthority({ name, nowMs: now, validityMs: 10 * HOUR_MS });

/** The name by which a client that trusts `ca` knows the server, or the error. */
async function handshakeWith(server: { certPem: string; keyPem: Secret }, ca: string, servername: string) {
  const listener = createTlsServer({ cert: server.certPem, key: server.keyPem.reveal() }, (socket) =>
    socket.end(),
  );
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const address = listener.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const client = connect({ host: "127.0.0.1", port, ca, servername });
  try {
    await once(client, "secureConnect");
    return client.authorized;
  } finally {
    client.destroy();
    listener.close();
  }
}

describe("a server certificate under an authority of ours", () => {
  test("has all names, and the validity that was asked for", async () => {
    const authority = await authorityOf("first");
    const server = await issueServerCertificate(authority, { dnsNames: NAMES, nowMs, validityMs: HOUR_MS });
    const facts = inspectCertificate(server.certPem);
    expect(facts.dnsNames).toEqual(NAMES);
    expect(facts.notBeforeMs).toBe(nowMs - BACKDATE_MS);
    expect(facts.notAfterMs).toBe(nowMs + HOUR_MS);
    expect(facts.isIssuedBy(authority.certPem)).toBe(true);
    expect(facts.isIssuedBy((await authorityOf("first")).certPem)).toBe(false);
    expect(isKeyOf(server)).toBe(true);
    expect(isKeyOf({ ...server, keyPem: authority.keyPem })).toBe(false);
  });

  test("is accepted by each of its names, whichever authority of a bundle has signed it", async () => {
    const [old, young] = await Promise.all([
      authorityOf("old", Date.now()),
      authorityOf("young", Date.now()),
    ]);
    const bundle = `${young.certPem}${old.certPem}`;
    for (const authority of [old, young]) {
      const server = await issueServerCertificate(authority, {
        dnsNames: NAMES,
        nowMs: Date.now(),
        validityMs: HOUR_MS,
      });
      for (const name of NAMES) expect(await handshakeWith(server, bundle, name)).toBe(true);
      await expect(handshakeWith(server, bundle, "other.space.svc")).rejects.toThrow(/altnames/);
    }
    const server = await issueServerCertificate(old, {
      dnsNames: NAMES,
      nowMs: Date.now(),
      validityMs: HOUR_MS,
    });
    await expect(handshakeWith(server, young.certPem, "localhost")).rejects.toThrow(/unable to verify/);
  });

  test("is not made with a key that belongs to another authority", async () => {
    const [one, other] = await Promise.all([authorityOf("one"), authorityOf("other")]);
    const mixed = { certPem: one.certPem, keyPem: other.keyPem };
    const input = { dnsNames: NAMES, nowMs, validityMs: HOUR_MS };
    await expect(issueServerCertificate(mixed, input)).rejects.toThrow(/does not belong to its certificate/);
    const noKey = { certPem: one.certPem, keyPem: new Secret("no key") };
    await expect(issueServerCertificate(noKey, input)).rejects.toMatchObject({ kind: "invalid-config" });
  });
});

test("a bundle is split into its certificates, whatever is between them", async () => {
  const [one, other] = await Promise.all([authorityOf("one"), authorityOf("other")]);
  const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({
    type: "sec1",
    format: "pem",
  });
  expect(splitCertificates(`# comment\n${one.certPem}${key.toString()}\n${other.certPem}`)).toEqual([
    one.certPem,
    other.certPem,
  ]);
  expect(splitCertificates("")).toEqual([]);
});
