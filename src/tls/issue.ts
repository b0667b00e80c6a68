import { generateKeyPair } from "node:crypto";
import { promisify } from "node:util";
import { internal } from "../errors/index.ts";
import { Secret } from "../platform/index.ts";
import { createCertificatePem, type KeyPair } from "./certificate.ts";

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

/** The certificate shapes of the Go adaptor's automatic mode: pkg/util/tlsutil/certgen.go, pkg/adaptor/proxy/factory.go. */
const SERVER_ORGANISATION = "agent-protocol-forwarder";
const CLIENT_ORGANISATION = "cloud-api-adaptor";
const BACKDATE_MS = 5 * 60 * 1000;
const VALIDITY_MS = 2 * 365 * 24 * 60 * 60 * 1000;

/** A DNS label: what a VM's name is. */
const SERVER_NAME = /^[A-Za-z0-9-]{1,63}$/;

const newKeyPair = promisify(generateKeyPair);
const newKeys = (): Promise<KeyPair> => newKeyPair("ec", { namedCurve: "P-256" });

/**
 * Makes the certificates and keys of one VM, valid from 5 minutes before `nowMs` for two years. Takes about a millisecond: the
 * certificates are encoded by certificate.ts because loading a general X.509 library costs 100 ms and using it 10 ms a VM.
 * Throws `internal` if the server name is not a DNS label.
 */
export async function issueVmIdentity(input: {
  readonly serverName: string;
  readonly nowMs: number;
}): Promise<VmIdentity> {
  const { serverName } = input;
  if (!SERVER_NAME.test(serverName)) {
    throw internal(
      `${JSON.stringify(serverName)} cannot be a server name: 1 to 63 letters, digits and hyphens`,
    );
  }
  const [authorityKeys, serverKeys, clientKeys] = await Promise.all([newKeys(), newKeys(), newKeys()]);
  const notBeforeMs = input.nowMs - BACKDATE_MS;
  const validity = { notBeforeMs, notAfterMs: notBeforeMs + VALIDITY_MS };
  const authority = { subject: { organisation: SERVER_ORGANISATION }, keys: authorityKeys };
  return {
    serverName,
    caPem: createCertificatePem({ ...validity, ...authority, usage: "serverAuth", authority: true }),
    serverCertPem: createCertificatePem({
      ...validity,
      subject: { organisation: SERVER_ORGANISATION, serverName },
      keys: serverKeys,
      usage: "serverAuth",
      authority: false,
      issuer: authority,
    }),
    serverKeyPem: privateKeyPem(serverKeys),
    clientCertPem: createCertificatePem({
      ...validity,
      subject: { organisation: CLIENT_ORGANISATION },
      keys: clientKeys,
      usage: "clientAuth",
      authority: false,
    }),
    clientKeyPem: privateKeyPem(clientKeys),
  };
}

const privateKeyPem = (keys: KeyPair): Secret =>
  new Secret(keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString());
