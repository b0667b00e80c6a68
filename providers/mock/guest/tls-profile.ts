import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { TlsOptions } from "node:tls";
import { describeError, invalidConfig } from "../../../src/errors/index.ts";
import type { ForwarderConfig } from "./apf-config.ts";

/**
 * Node wants OpenSSL's names of TLS 1.2 suites; apf.json has IANA's. All that Go's crypto/tls knows; "" where OpenSSL has
 * none. A list of its own, not the adaptor's: this stands for a stock peer, and a VM's boot should load little.
 */
const OPENSSL_NAMES: Readonly<Record<string, string>> = {
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305: "ECDHE-ECDSA-CHACHA20-POLY1305",
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305: "ECDHE-RSA-CHACHA20-POLY1305",
  TLS_ECDHE_ECDSA_WITH_RC4_128_SHA: "",
  TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA: "",
  TLS_ECDHE_RSA_WITH_RC4_128_SHA: "",
  TLS_RSA_WITH_3DES_EDE_CBC_SHA: "",
  TLS_RSA_WITH_RC4_128_SHA: "",
  TLS_RSA_WITH_AES_128_CBC_SHA256: "AES128-SHA256",
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDHE-ECDSA-AES128-GCM-SHA256",
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: "ECDHE-ECDSA-AES256-GCM-SHA384",
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: "ECDHE-ECDSA-AES128-SHA",
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256: "ECDHE-ECDSA-AES128-SHA256",
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: "ECDHE-ECDSA-AES256-SHA",
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "ECDHE-RSA-AES128-GCM-SHA256",
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: "ECDHE-RSA-AES256-GCM-SHA384",
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-RSA-CHACHA20-POLY1305",
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: "ECDHE-RSA-AES128-SHA",
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256: "ECDHE-RSA-AES128-SHA256",
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: "ECDHE-RSA-AES256-SHA",
  TLS_RSA_WITH_AES_128_GCM_SHA256: "AES128-GCM-SHA256",
  TLS_RSA_WITH_AES_256_GCM_SHA384: "AES256-GCM-SHA384",
  TLS_RSA_WITH_AES_128_CBC_SHA: "AES128-SHA",
  TLS_RSA_WITH_AES_256_CBC_SHA: "AES256-SHA",
};
/** A list of suites binds TLS 1.2 only: Go lets TLS 1.3 keep its own. */
const TLS13_SUITES = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

function cipherList(names: readonly string[]): string {
  const suites = names
    .filter((name) => !TLS13_SUITES.includes(name))
    .map((name) => {
      const openssl = OPENSSL_NAMES[name];
      if (openssl === undefined) throw invalidConfig(`apf.json: tls-cipher-suites: ${name} is not known`);
      return openssl;
    });
  return [...TLS13_SUITES, ...suites.filter((name) => name !== "")].join(":");
}

/**
 * The forwarder's server side: certificate and key, and a client certificate that must be there and verify. From
 * apf.json, else from the image's files in `tlsDir`. Throws `invalid-config`.
 */
export async function tlsServerOptions(config: ForwarderConfig, tlsDir: string): Promise<TlsOptions> {
  if (config.tlsMinVersion === "VersionTLS13" && config.tlsCipherSuites.length > 0) {
    throw invalidConfig("apf.json: tls-cipher-suites cannot be given together with VersionTLS13");
  }
  const orFile = async (value: string, name: string): Promise<string> =>
    value !== "" ? value : readCertificateFile(join(tlsDir, name));
  return {
    key: await orFile(config.tlsServerKey, "tls.key"),
    cert: await orFile(config.tlsServerCert, "tls.crt"),
    ca: await orFile(config.tlsClientCa, "ca.crt"),
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: config.tlsMinVersion === "VersionTLS13" ? "TLSv1.3" : "TLSv1.2",
    ...(config.tlsCipherSuites.length > 0 ? { ciphers: cipherList(config.tlsCipherSuites) } : {}),
  };
}

async function readCertificateFile(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw invalidConfig(
      `apf.json has no complete TLS identity, and the image has none either: ${describeError(cause)}`,
      { cause },
    );
  }
}
