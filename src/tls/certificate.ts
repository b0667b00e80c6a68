import { createHash, type KeyObject, randomBytes, sign } from "node:crypto";
import {
  bitString,
  booleanTrue,
  context,
  contextPrimitive,
  integer,
  octetString,
  oid,
  printableString,
  sequence,
  setOf,
  time,
} from "./der.ts";

const Oid = {
  EcdsaWithSha256: "1.2.840.10045.4.3.2",
  CommonName: "2.5.4.3",
  OrganisationName: "2.5.4.10",
  SubjectKeyId: "2.5.29.14",
  KeyUsage: "2.5.29.15",
  SubjectAltName: "2.5.29.17",
  BasicConstraints: "2.5.29.19",
  AuthorityKeyId: "2.5.29.35",
  ExtendedKeyUsage: "2.5.29.37",
  ServerAuth: "1.3.6.1.5.5.7.3.1",
  ClientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

/** GeneralName's dNSName and AuthorityKeyIdentifier's keyIdentifier (RFC 5280, 4.2.1.6 and 4.2.1.1). */
const DNS_NAME = 2;
const KEY_IDENTIFIER = 0;

const VERSION_3 = 2;
const SERIAL_BYTES = 16;
const KEY_ID_BYTES = 20;

/** digitalSignature and keyCertSign, on every certificate as in Go's. */
const KEY_USAGE = bitString(Buffer.of(0x84), 2);

export interface Subject {
  readonly organisation: string;
  /** Also the DNS name that the certificate is for. Letters, digits and `-`. */
  readonly serverName?: string;
}

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export interface CertificateTemplate {
  readonly subject: Subject;
  readonly usage: "serverAuth" | "clientAuth";
  readonly authority: boolean;
  /** DNS names beside the subject's. */
  readonly dnsNames?: readonly string[];
  /** Milliseconds since the epoch; whole seconds count. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** ECDSA P-256. */
  readonly keys: KeyPair;
  /** Absent: self-signed. */
  readonly issuer?: { readonly subject: Subject; readonly keys: KeyPair };
}

/** An X.509 v3 certificate in PEM, with the extensions and criticality that Go's x509.CreateCertificate gives such a template. */
export function createCertificatePem(template: CertificateTemplate): string {
  const { subject, keys } = template;
  const issuer = template.issuer ?? { subject, keys };
  const algorithm = sequence(oid(Oid.EcdsaWithSha256));
  const body = sequence(
    context(0, integer(Buffer.of(VERSION_3))),
    integer(randomBytes(SERIAL_BYTES)),
    algorithm,
    distinguishedName(issuer.subject),
    sequence(time(template.notBeforeMs), time(template.notAfterMs)),
    distinguishedName(subject),
    publicKeyInfo(keys),
    context(3, sequence(...extensions(template))),
  );
  const der = sequence(body, algorithm, bitString(sign("sha256", body, issuer.keys.privateKey)));
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}

function extensions(template: CertificateTemplate): Buffer[] {
  const { subject, issuer } = template;
  const usage = template.usage === "serverAuth" ? Oid.ServerAuth : Oid.ClientAuth;
  const constraints = template.authority ? sequence(booleanTrue()) : sequence();
  const list = [
    extension(Oid.KeyUsage, true, KEY_USAGE),
    extension(Oid.ExtendedKeyUsage, false, sequence(oid(usage))),
    extension(Oid.BasicConstraints, true, constraints),
  ];
  if (template.authority) list.push(extension(Oid.SubjectKeyId, false, octetString(keyId(template.keys))));
  if (issuer) {
    const id = contextPrimitive(KEY_IDENTIFIER, keyId(issuer.keys));
    list.push(extension(Oid.AuthorityKeyId, false, sequence(id)));
  }
  const names = [
    ...(subject.serverName === undefined ? [] : [subject.serverName]),
    ...(template.dnsNames ?? []),
  ];
  if (names.length > 0) {
    const encoded = names.map((name) => contextPrimitive(DNS_NAME, Buffer.from(name, "ascii")));
    list.push(extension(Oid.SubjectAltName, false, sequence(...encoded)));
  }
  return list;
}

const extension = (id: string, critical: boolean, value: Uint8Array): Buffer =>
  sequence(oid(id), ...(critical ? [booleanTrue()] : []), octetString(value));

function distinguishedName(subject: Subject): Buffer {
  const attribute = (id: string, value: string): Buffer => setOf(sequence(oid(id), printableString(value)));
  const { organisation, serverName } = subject;
  return sequence(
    attribute(Oid.OrganisationName, organisation),
    ...(serverName === undefined ? [] : [attribute(Oid.CommonName, serverName)]),
  );
}

const publicKeyInfo = (keys: KeyPair): Buffer => keys.publicKey.export({ type: "spki", format: "der" });

/** RFC 7093, method 4: any hash over the key's whole structure will do, as long as issuer and issued agree. */
const keyId = (keys: KeyPair): Buffer =>
  createHash("sha256").update(publicKeyInfo(keys)).digest().subarray(0, KEY_ID_BYTES);
