import { getCiphers } from "node:tls";
import { describe, expect, test } from "vitest";
import { handshake } from "./handshake-peers.ts";
import { issueVmIdentity } from "./issue.ts";
import { tlsClientOptions, tlsServerOptions } from "./options.ts";
import {
  DEFAULT_TLS_PROFILE,
  parseTlsProfile,
  profileOptions,
  type TlsProfile,
  tlsProfileWarnings,
} from "./profile.ts";

const parse = (minVersion: string, ...cipherSuites: string[]): TlsProfile =>
  parseTlsProfile({ minVersion, cipherSuites });

const ECDSA_256 = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";

async function connectWith(profile: TlsProfile, vm: { maxVersion?: "TLSv1.2"; profile?: TlsProfile } = {}) {
  const identity = await issueVmIdentity({ serverName: "podvm-a", nowMs: Date.now() });
  const server = tlsServerOptions({
    profile: vm.profile ?? DEFAULT_TLS_PROFILE,
    certPem: identity.serverCertPem,
    keyPem: identity.serverKeyPem,
    clientCaPem: identity.clientCertPem,
  });
  const limited = vm.maxVersion ? { ...server, maxVersion: vm.maxVersion } : server;
  return handshake(limited, tlsClientOptions({ ...identity, profile, skipVerify: false }));
}

describe("a TLS profile", () => {
  test("is unrestricted when nothing is set", () => {
    expect(parse("")).toEqual(DEFAULT_TLS_PROFILE);
    expect(profileOptions(DEFAULT_TLS_PROFILE)).toEqual({ minVersion: "TLSv1.2" });
  });

  test("is read with blanks and empty items dropped", () => {
    expect(parse(" VersionTLS12 ", ` ${ECDSA_256}`, "", " ")).toEqual({
      minVersion: "VersionTLS12",
      cipherSuites: [ECDSA_256],
    });
  });

  test.each([
    ["VersionTLS11", [], /TLS_MIN_VERSION=VersionTLS11: TLS 1.0 and 1.1 are not supported/],
    ["1.2", [], /TLS_MIN_VERSION="1.2" is not known; give VersionTLS12/],
    ["VersionTLS13", [ECDSA_256], /cannot be combined with TLS_MIN_VERSION=VersionTLS13/],
    ["", ["ECDHE-ECDSA-AES256-GCM-SHA384"], /"ECDHE-ECDSA-AES256-GCM-SHA384" is not the IANA name/],
  ])("is refused for minimum %j with suites %j", (minVersion, cipherSuites, message) => {
    const attempt = (): TlsProfile => parseTlsProfile({ minVersion, cipherSuites });
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(expect.objectContaining({ kind: "invalid-config" }));
  });

  test("maps every usable suite to one that this Node has", () => {
    const names = ["ECDHE_ECDSA", "ECDHE_RSA", "RSA"].flatMap((exchange) => [
      `TLS_${exchange}_WITH_AES_128_GCM_SHA256`,
      `TLS_${exchange}_WITH_AES_256_GCM_SHA384`,
      `TLS_${exchange}_WITH_AES_128_CBC_SHA`,
      `TLS_${exchange}_WITH_AES_256_CBC_SHA`,
      `TLS_${exchange}_WITH_AES_128_CBC_SHA256`,
    ]);
    const chacha = ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"];
    const profile = parse("", ...names, ...chacha);
    const known = getCiphers();
    const mapped = profileOptions(profile).ciphers?.split(":") ?? [];
    expect(mapped.filter((name) => !known.includes(name.toLowerCase()))).toEqual([]);
    expect(mapped).toHaveLength(3 + names.length + chacha.length);
  });

  test("chooses the TLS 1.2 suite and leaves TLS 1.3 alone", async () => {
    const profile = parse("VersionTLS12", ECDSA_256);
    expect(await connectWith(profile, { maxVersion: "TLSv1.2" })).toMatchObject({
      protocol: "TLSv1.2",
      cipher: ECDSA_256,
    });
    expect(await connectWith(profile)).toMatchObject({ protocol: "TLSv1.3" });
  });

  test("with VersionTLS13 refuses a VM that stops at 1.2", async () => {
    const profile = parse("VersionTLS13");
    expect(await connectWith(profile)).toMatchObject({ protocol: "TLSv1.3" });
    await expect(connectWith(profile, { maxVersion: "TLSv1.2" })).rejects.toThrow();
  });

  test("holds for our own servers too", async () => {
    const profile = parse("", ECDSA_256);
    const other = parse("", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    await expect(connectWith(other, { maxVersion: "TLSv1.2", profile })).rejects.toThrow();
  });

  test("with suites that only Go has still connects over TLS 1.3, as Go does, and warns", async () => {
    const profile = parse("", "TLS_RSA_WITH_RC4_128_SHA", "TLS_AES_128_GCM_SHA256");
    expect(await connectWith(profile)).toMatchObject({ protocol: "TLSv1.3" });
    expect(tlsProfileWarnings(profile)).toEqual([
      expect.stringMatching(/RC4_128_SHA is insecure/),
      expect.stringMatching(/TLS_AES_128_GCM_SHA256 belongs to TLS 1.3/),
    ]);
    expect(tlsProfileWarnings(parse("", ECDSA_256))).toEqual([]);
  });
});
