import { KeyObject, webcrypto } from "node:crypto";
import { Secret } from "../platform/index.ts";

/** All that TLS between us and one VM needs. The authority's key exists only while this is made. */
export interface VmIdentity {
  /** SNI and the DNS name in the server's certificate: the VM's name. */
  readonly serverName: string;
  /** Authority of the server's certificate, of this VM alone. */
  readonly caPem: string;
  readonly serverCertPem: string;
  /** Goes to the VM only. */
  readonly serverKeyPem: Secret;
  /** Self-signed: it is also the authority by which the VM knows its client. */
  readonly clientCertPem: string;
  readonly clientKeyPem: Secret;
}

/** The Go adaptor's certificate shapes: pkg/util/tlsutil/certgen.go, pkg/adaptor/proxy/factory.go. */
const SERVER_ORGANISATION = "agent-protocol-forwarder";
const CLIENT_ORGANISATION = "cloud-api-adaptor";
const BACKDATE_MS = 5 * 60 * 1000;
const VALIDITY_MS = 2 * 365 * 24 * 60 * 60 * 1000;
const SERIAL_BYTES = 16;
const EC_KEY = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGNATURE = { name: "ECDSA", hash: "SHA-256" } as const;

type X509 = typeof import("@peculiar/x509");
type Certificate = InstanceType<X509["X509Certificate"]>;

interface Issuer {
  readonly certificate: Certificate;
  readonly key: webcrypto.CryptoKey;
}

interface Template {
  readonly organisation: string;
  readonly usage: "serverAuth" | "clientAuth";
  readonly authority: boolean;
  readonly serverName?: string;
  /** Absent: self-signed. */
  readonly issuer?: Issuer;
  readonly nowMs: number;
}

interface Issued {
  readonly certificate: Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

/**
 * Makes the certificates and keys of one VM, valid from 5 minutes before `nowMs` for two years. The first call also loads the
 * certificate library (some 100 ms); see `preloadIssuer`. A call takes about 3 ms after that.
 */
export async function issueVmIdentity(input: {
  readonly serverName: string;
  readonly nowMs: number;
}): Promise<VmIdentity> {
  const { serverName, nowMs } = input;
  const x509 = await loadX509();
  const [authority, client] = await Promise.all([
    issue(x509, { organisation: SERVER_ORGANISATION, usage: "serverAuth", authority: true, nowMs }),
    issue(x509, { organisation: CLIENT_ORGANISATION, usage: "clientAuth", authority: false, nowMs }),
  ]);
  const issuer = { certificate: authority.certificate, key: authority.keys.privateKey };
  const server = await issue(x509, {
    organisation: SERVER_ORGANISATION,
    usage: "serverAuth",
    authority: false,
    serverName,
    issuer,
    nowMs,
  });
  return {
    serverName,
    caPem: pem(authority.certificate),
    serverCertPem: pem(server.certificate),
    serverKeyPem: await keyPem(server.keys),
    clientCertPem: pem(client.certificate),
    clientKeyPem: await keyPem(client.keys),
  };
}

/** Loads what `issueVmIdentity` needs, so that the first VM does not wait for it. */
export async function preloadIssuer(): Promise<void> {
  await loadX509();
}

/** The library is large and its import replaces a global (reflect-metadata), so only who issues pays for it. */
async function loadX509(): Promise<X509> {
  await import("reflect-metadata");
  return await import("@peculiar/x509");
}

async function issue(x509: X509, template: Template): Promise<Issued> {
  const keys = await webcrypto.subtle.generateKey(EC_KEY, true, ["sign", "verify"]);
  const issuerName = template.issuer?.certificate.subjectName;
  const names = [
    { O: [template.organisation] },
    ...(template.serverName ? [{ CN: [template.serverName] }] : []),
  ];
  const subject = new x509.Name(names);
  const notBefore = new Date(template.nowMs - BACKDATE_MS);
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(SERIAL_BYTES))).toString("hex"),
      subject,
      issuer: issuerName ?? subject,
      notBefore,
      notAfter: new Date(notBefore.getTime() + VALIDITY_MS),
      publicKey: keys.publicKey,
      signingKey: template.issuer?.key ?? keys.privateKey,
      signingAlgorithm: SIGNATURE,
      extensions: await extensions(x509, template, keys),
    },
    webcrypto,
  );
  return { certificate, keys };
}

/** The set and the criticality of what Go's x509.CreateCertificate writes for such a template. */
async function extensions(
  x509: X509,
  template: Template,
  keys: webcrypto.CryptoKeyPair,
): Promise<InstanceType<X509["Extension"]>[]> {
  const usages = x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyCertSign;
  const subjectKeyId = template.authority
    ? [await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto)]
    : [];
  const authorityKeyId = template.issuer
    ? [
        await x509.AuthorityKeyIdentifierExtension.create(
          template.issuer.certificate.publicKey,
          false,
          webcrypto,
        ),
      ]
    : [];
  return [
    new x509.KeyUsagesExtension(usages, true),
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage[template.usage]]),
    new x509.BasicConstraintsExtension(template.authority, undefined, true),
    ...subjectKeyId,
    ...authorityKeyId,
    ...(template.serverName
      ? [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: template.serverName }])]
      : []),
  ];
}

const pem = (certificate: Certificate): string => `${certificate.toString("pem")}\n`;

async function keyPem(keys: webcrypto.CryptoKeyPair): Promise<Secret> {
  return new Secret(KeyObject.from(keys.privateKey).export({ type: "pkcs8", format: "pem" }).toString());
}
