import { Secret } from "../../platform/index.ts";
import {
  BACKDATE_MS,
  type Certified,
  inspectCertificate,
  isKeyOf,
  issueAuthority,
  issueServerCertificate,
  splitCertificates,
} from "../../tls/index.ts";

/** All that the webhook's replicas share: what they serve with, and who vouches for it. */
export interface Certificates {
  /** PEM, newest first. The API server trusts all of them. */
  readonly authorities: readonly string[];
  /** Of the newest. */
  readonly authorityKey: Secret;
  readonly serving: Certified;
}

export interface CertificateRules {
  readonly dnsNames: readonly string[];
  /** How long a serving certificate is good; it is replaced when a third of that is left. */
  readonly validityMs: number;
  /** How long an authority is published before the first certificate of it is served. */
  readonly overlapMs: number;
}

export interface Renewal {
  /** The same object when nothing was to be done. */
  readonly certificates: Certificates;
  /** What was made, for the log. */
  readonly made: readonly string[];
}

/** Authorities live so many times longer than what they sign, and are succeeded when two such times are left. */
const AUTHORITY_LIFE = 12;
const AUTHORITY_REST = 2;
const SERVING_REST = 1 / 3;

const AUTHORITY_NAME = "peer-pods-webhook";

/** Keys of the Secret. The first two are those of a Secret of type kubernetes.io/tls. */
const Key = { cert: "tls.crt", key: "tls.key", authorities: "ca.crt", authorityKey: "ca.key" } as const;

/** Reads a Secret's data. undefined: it is empty, or holds what does not belong together. */
export function readCertificates(
  data: Readonly<Record<string, string>> | undefined,
): Certificates | undefined {
  const text = (key: string): string => Buffer.from(data?.[key] ?? "", "base64").toString("utf8");
  const authorities = splitCertificates(text(Key.authorities));
  const certificates = {
    authorities,
    authorityKey: new Secret(text(Key.authorityKey)),
    serving: { certPem: text(Key.cert), keyPem: new Secret(text(Key.key)) },
  };
  const [newest] = authorities;
  if (newest === undefined || !isKeyOf({ certPem: newest, keyPem: certificates.authorityKey }))
    return undefined;
  if (!isKeyOf(certificates.serving)) return undefined;
  return signerOf(certificates) < 0 ? undefined : certificates;
}

/** A Secret's data, base64. */
export function writeCertificates(certificates: Certificates): Record<string, string> {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  return {
    [Key.authorities]: base64(certificates.authorities.join("")),
    [Key.authorityKey]: base64(certificates.authorityKey.reveal()),
    [Key.cert]: base64(certificates.serving.certPem),
    [Key.key]: base64(certificates.serving.keyPem.reveal()),
  };
}

/** Which authority has signed what is served; -1: none. Throws `invalid-config` for what is no certificate. */
const signerOf = ({ authorities, serving }: Certificates): number => {
  const facts = inspectCertificate(serving.certPem);
  return authorities.findIndex((authority) => facts.isIssuedBy(authority));
};

/**
 * What there should be at this time: an authority's successor is published first, and signs only after the overlap, so that at no
 * time a replica serves what the API server does not know, whoever of them has seen what.
 */
export async function renew(
  current: Certificates | undefined,
  rules: CertificateRules,
  nowMs: number,
): Promise<Renewal> {
  const made: string[] = [];
  const authorities = await currentAuthorities(current, rules, nowMs);
  if (authorities.fresh) made.push("an authority");
  const all = { ...authorities, serving: current?.serving };
  if (all.serving !== undefined && !mustServeAnew({ ...all, serving: all.serving }, rules, nowMs)) {
    const unchanged =
      current !== undefined && current.authorities.length === all.authorities.length && made.length === 0;
    return { certificates: unchanged ? current : { ...all, serving: all.serving }, made };
  }
  const newest = { certPem: all.authorities[0] ?? "", keyPem: all.authorityKey };
  const serving = await issueServerCertificate(newest, { ...rules, nowMs });
  made.push("a serving certificate");
  return { certificates: { ...all, serving }, made };
}

/** Without those that have expired, and with a successor in time. */
async function currentAuthorities(
  current: Certificates | undefined,
  rules: CertificateRules,
  nowMs: number,
): Promise<Pick<Certificates, "authorities" | "authorityKey"> & { readonly fresh: boolean }> {
  const valid = (current?.authorities ?? []).filter((pem) => inspectCertificate(pem).notAfterMs > nowMs);
  const newest = current?.authorities[0];
  if (current !== undefined && newest !== undefined) {
    const leftMs = inspectCertificate(newest).notAfterMs - nowMs;
    if (leftMs >= AUTHORITY_REST * rules.validityMs) {
      return { authorities: valid, authorityKey: current.authorityKey, fresh: false };
    }
  }
  // Named by its time: two authorities of one name are hard to tell apart in a trace.
  const name = `${AUTHORITY_NAME} ${new Date(nowMs).toISOString().replaceAll(/[^0-9]/g, "")}`;
  const made = await issueAuthority({ name, nowMs, validityMs: AUTHORITY_LIFE * rules.validityMs });
  return { authorities: [made.certPem, ...valid], authorityKey: made.keyPem, fresh: true };
}

function mustServeAnew(certificates: Certificates, rules: CertificateRules, nowMs: number): boolean {
  const facts = inspectCertificate(certificates.serving.certPem);
  const signer = signerOf(certificates);
  const leftMs = facts.notAfterMs - nowMs;
  const sameNames = facts.dnsNames.join() === rules.dnsNames.join();
  if (signer < 0 || leftMs <= 0 || !sameNames) return true;
  if (signer === 0) return leftMs < rules.validityMs * SERVING_REST;
  const newest = inspectCertificate(certificates.authorities[0] ?? "");
  return nowMs - (newest.notBeforeMs + BACKDATE_MS) >= rules.overlapMs;
}
