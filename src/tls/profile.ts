import { invalidConfig } from "../errors/index.ts";

export type TlsMinVersion = "" | "VersionTLS12" | "VersionTLS13";

/** What TLS_MIN_VERSION and TLS_CIPHER_SUITES ask for. It holds for our side and, through apf.json, for the VM's. */
export interface TlsProfile {
  /** "" means TLS 1.2, and is not written to apf.json. */
  readonly minVersion: TlsMinVersion;
  /** IANA names as the operator wrote them; empty: no restriction. They concern TLS 1.2 only. */
  readonly cipherSuites: readonly string[];
}

/** No restriction beyond TLS 1.2. */
export const DEFAULT_TLS_PROFILE: TlsProfile = { minVersion: "", cipherSuites: [] };

/**
 * Every name that Go knows (crypto/tls CipherSuites and InsecureCipherSuites of Go 1.25, plus the two short ChaCha20 names of
 * k8s.io/component-base/cli/flag), and what OpenSSL calls it; undefined where Node's OpenSSL has no such suite.
 */
const OPENSSL_NAMES: ReadonlyMap<string, string | undefined> = new Map([
  ["TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"],
  ["TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"],
  ["TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"],
  ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"],
  ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"],
  ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"],
  ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"],
  ["TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA"],
  ["TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA"],
  ["TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE-ECDSA-AES128-SHA256"],
  ["TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", undefined],
  ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"],
  ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"],
  ["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"],
  ["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"],
  ["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"],
  ["TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA"],
  ["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256"],
  ["TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", undefined],
  ["TLS_ECDHE_RSA_WITH_RC4_128_SHA", undefined],
  ["TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256"],
  ["TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384"],
  ["TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"],
  ["TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA"],
  ["TLS_RSA_WITH_AES_128_CBC_SHA256", "AES128-SHA256"],
  ["TLS_RSA_WITH_3DES_EDE_CBC_SHA", undefined],
  ["TLS_RSA_WITH_RC4_128_SHA", undefined],
]);

/** Go never restricts the suites of TLS 1.3, so neither do we. */
const TLS13_SUITES: readonly string[] = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
];

/**
 * Reads the operator's TLS profile by the Go adaptor's rules (src/cloud-api-adaptor/pkg/util/tlsconfig): surrounding blanks and
 * empty items are dropped, TLS 1.0 and 1.1 refused, suites refused together with VersionTLS13. Throws `invalid-config`.
 */
export function parseTlsProfile(input: {
  readonly minVersion: string;
  readonly cipherSuites: readonly string[];
}): TlsProfile {
  const minVersion = parseMinVersion(input.minVersion.trim());
  const cipherSuites = input.cipherSuites.map((name) => name.trim()).filter((name) => name !== "");
  if (minVersion === "VersionTLS13" && cipherSuites.length > 0) {
    throw invalidConfig(
      `TLS_CIPHER_SUITES=${cipherSuites.join(",")} cannot be combined with TLS_MIN_VERSION=VersionTLS13, whose suites are fixed; unset one of the two`,
    );
  }
  const unknown = cipherSuites.filter((name) => !OPENSSL_NAMES.has(name));
  if (unknown.length > 0) {
    const valid = [...OPENSSL_NAMES.keys()].filter((name) => name.startsWith("TLS_ECDHE_")).join(", ");
    throw invalidConfig(
      `TLS_CIPHER_SUITES: ${unknown.map((name) => JSON.stringify(name)).join(", ")} is not the IANA name of a suite that the pod VM knows; give for example ${valid}`,
    );
  }
  return { minVersion, cipherSuites };
}

function parseMinVersion(value: string): TlsMinVersion {
  switch (value) {
    case "":
    case "VersionTLS12":
    case "VersionTLS13":
      return value;
    case "VersionTLS10":
    case "VersionTLS11":
      throw invalidConfig(
        `TLS_MIN_VERSION=${value}: TLS 1.0 and 1.1 are not supported; give VersionTLS12 or VersionTLS13`,
      );
    default:
      throw invalidConfig(
        `TLS_MIN_VERSION=${JSON.stringify(value)} is not known; give VersionTLS12, VersionTLS13 or nothing`,
      );
  }
}

/** What an operator should be told about an accepted profile at start: one sentence each. */
export function tlsProfileWarnings(profile: TlsProfile): readonly string[] {
  const missing = profile.cipherSuites.filter((name) => OPENSSL_NAMES.get(name) === undefined);
  const ineffective = profile.cipherSuites.filter((name) => TLS13_SUITES.includes(name));
  return [
    ...(missing.length > 0
      ? [`TLS_CIPHER_SUITES: ${missing.join(", ")} is insecure and never used by this program`]
      : []),
    ...(ineffective.length > 0
      ? [
          `TLS_CIPHER_SUITES: ${ineffective.join(", ")} belongs to TLS 1.3, whose suites cannot be chosen; it has no effect`,
        ]
      : []),
  ];
}

/** The profile as options that tls.connect, tls.createServer and tls.createSecureContext understand. */
export function profileOptions(profile: TlsProfile): {
  minVersion: "TLSv1.2" | "TLSv1.3";
  ciphers?: string;
} {
  const minVersion = profile.minVersion === "VersionTLS13" ? "TLSv1.3" : "TLSv1.2";
  if (profile.cipherSuites.length === 0) return { minVersion };
  const tls12 = profile.cipherSuites
    .filter((name) => !TLS13_SUITES.includes(name))
    .map((name) => OPENSSL_NAMES.get(name))
    .filter((name) => name !== undefined);
  // Without the TLS 1.3 names Node would lower the highest version to TLS 1.2; without any for 1.2 it raises the lowest to 1.3,
  // which is what a Go peer with such a list ends up with too.
  return { minVersion, ciphers: [...TLS13_SUITES, ...new Set(tls12)].join(":") };
}
