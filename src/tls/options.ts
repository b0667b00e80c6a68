import type { ConnectionOptions, TlsOptions } from "node:tls";
import type { Secret } from "../platform/index.ts";
import { profileOptions, type TlsProfile } from "./profile.ts";

/** The server name that the certificates in an operator's own VM image carry (Go adaptor, pkg/adaptor/proxy). */
export const CUSTOM_SERVER_NAME = "podvm-server";

export interface TlsClientInput {
  readonly profile: TlsProfile;
  /** SNI, and the name that the VM's certificate must carry. */
  readonly serverName: string;
  /** The only authority that is trusted; the system's are not. */
  readonly caPem: string;
  readonly clientCertPem: string;
  readonly clientKeyPem: Secret;
  /** TLS_SKIP_VERIFY: any certificate will do. For tests. */
  readonly skipVerify: boolean;
}

/**
 * Options for `tls.connect` to a VM that is dialled by its address; the caller adds host and port, or a socket.
 * TLS 1.2 at least; the certificate must come from `caPem` and carry `serverName`.
 */
export function tlsClientOptions(input: TlsClientInput): ConnectionOptions {
  return {
    ...profileOptions(input.profile),
    servername: input.serverName,
    ca: input.caPem,
    cert: input.clientCertPem,
    key: input.clientKeyPem.reveal(),
    rejectUnauthorized: !input.skipVerify,
  };
}

export interface TlsServerInput {
  readonly profile: TlsProfile;
  readonly certPem: string;
  readonly keyPem: Secret;
  /** Who may connect: the client's certificate itself, or its authority. */
  readonly clientCaPem: string;
}

/** Options for `tls.createServer` on the VM's side: a client certificate is asked for and must be valid. */
export function tlsServerOptions(input: TlsServerInput): TlsOptions {
  return {
    ...profileOptions(input.profile),
    cert: input.certPem,
    key: input.keyPem.reveal(),
    ca: input.clientCaPem,
    requestCert: true,
    rejectUnauthorized: true,
  };
}
