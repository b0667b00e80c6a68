import type { PutLinkRequest } from "../gen/shimproxy/control.ts";
import type { LinkTarget } from "./control-types.ts";

/** PutLink on the wire. The caller wipes the key when it is sent. */
export function encodePutLink(link: LinkTarget, epoch: bigint): PutLinkRequest {
  const { tls } = link;
  return {
    epoch,
    id: link.id,
    address: link.address,
    port: link.port,
    timeoutMs: BigInt(Math.max(1, Math.round(link.timeoutMs))),
    volumes: link.volumes.map((volume) => ({ ...volume })),
    tls:
      tls === undefined
        ? undefined
        : {
            serverName: tls.serverName,
            clientKeyPem: Buffer.from(tls.clientKeyPem.reveal()),
            clientCertPem: Buffer.from(tls.clientCertPem),
            caPem: Buffer.from(tls.caPem),
            minVersion: tls.profile.minVersion,
            cipherSuites: [...tls.profile.cipherSuites],
            skipVerify: tls.skipVerify,
          },
  };
}
