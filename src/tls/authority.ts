import { createPrivateKey, createPublicKey, generateKeyPair, X509Certificate } from "node:crypto";
import { promisify } from "node:util";
import { describeError, invalidConfig } from "../errors/index.ts";
import { Secret } from "../platform/index.ts";
import { createCertificatePem, type KeyPair } from "./certificate.ts";

/** A certificate, and the key that belongs to it. */
export interface Certified {
  readonly certPem: string;
  readonly keyPem: Secret;
}

/** What is asked of a certificate that somebody else may have written. */
export interface CertificateFacts {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly dnsNames: readonly string[];
  /** Whether this authority, of its PEM, has signed it. */
  readonly isIssuedBy: (authorityPem: string) => boolean;
}

/** Clocks differ between machines: a certificate is good from so long before it was made. */
export const BACKDATE_MS: number = 5 * 60 * 1000;

const newKeyPair = promisify(generateKeyPair);
const newKeys = (): Promise<KeyPair> => newKeyPair("ec", { namedCurve: "P-256" });
const privateKeyPem = (keys: KeyPair): Secret =>
  new Secret(keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString());

/** Makes an authority of this name (letters, digits, spaces and hyphens), good for `validityMs` from now on. */
export async function issueAuthority(input: {
  readonly name: string;
  readonly nowMs: number;
  readonly validityMs: number;
}): Promise<Certified> {
  const keys = await newKeys();
  const certPem = createCertificatePem({
    subject: { organisation: input.name },
    usage: "serverAuth",
    authority: true,
    notBeforeMs: input.nowMs - BACKDATE_MS,
    notAfterMs: input.nowMs + input.validityMs,
    keys,
  });
  return { certPem, keyPem: privateKeyPem(keys) };
}

/**
 * Makes a server's certificate and key under an authority of ours, good for `validityMs` from now on. Throws `invalid-config` when
 * the authority's certificate or key cannot be used.
 */
export async function issueServerCertificate(
  authority: Certified,
  input: { readonly dnsNames: readonly string[]; readonly nowMs: number; readonly validityMs: number },
): Promise<Certified> {
  const issuer = issuerOf(authority);
  const keys = await newKeys();
  const certPem = createCertificatePem({
    // Another name than the authority's, or it would look self-signed.
    subject: { organisation: `${issuer.subject.organisation} server` },
    usage: "serverAuth",
    authority: false,
    dnsNames: input.dnsNames,
    notBeforeMs: input.nowMs - BACKDATE_MS,
    notAfterMs: input.nowMs + input.validityMs,
    keys,
    issuer,
  });
  return { certPem, keyPem: privateKeyPem(keys) };
}

function issuerOf(authority: Certified): {
  readonly subject: { readonly organisation: string };
  readonly keys: KeyPair;
} {
  const certificate = parse(authority.certPem);
  const organisation = /^O=([^\n]+)$/.exec(certificate.subject)?.[1];
  if (organisation === undefined) {
    throw invalidConfig(
      `the authority ${JSON.stringify(certificate.subject)} is not one of ours: its name is more than an organisation`,
    );
  }
  if (!isKeyOf(authority)) throw invalidConfig("the authority's key does not belong to its certificate");
  const privateKey = createPrivateKey(authority.keyPem.reveal());
  return { subject: { organisation }, keys: { privateKey, publicKey: createPublicKey(privateKey) } };
}

/** Whether a key belongs to its certificate; false for what is no key or no certificate. */
export function isKeyOf({ certPem, keyPem }: Certified): boolean {
  try {
    return parse(certPem).checkPrivateKey(createPrivateKey(keyPem.reveal()));
  } catch {
    // OpenSSL's text says nothing of use, and may quote the key.
    return false;
  }
}

/** Reads the first certificate of a PEM text. Throws `invalid-config`. */
export function inspectCertificate(certPem: string): CertificateFacts {
  const certificate = parse(certPem);
  const names = (certificate.subjectAltName ?? "").split(", ").filter((name) => name.startsWith("DNS:"));
  return {
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
    dnsNames: names.map((name) => name.slice("DNS:".length)),
    isIssuedBy: (authorityPem) => {
      const authority = parse(authorityPem);
      return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
    },
  };
}

/** The certificates of a PEM text, one text each. */
export const splitCertificates = (pem: string): readonly string[] =>
  (pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []).map(
    (block) => `${block}\n`,
  );

function parse(certPem: string): X509Certificate {
  try {
    return new X509Certificate(certPem);
  } catch (cause) {
    throw invalidConfig(`this is no PEM certificate: ${describeError(cause)}`, { cause });
  }
}
