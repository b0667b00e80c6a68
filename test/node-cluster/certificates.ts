import { generateKeyPairSync } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createCertificatePem } from "../../src/tls/certificate.ts";

const BACKDATE_MS = 60_000;
const DAY_MS = 24 * 60 * 60 * 1000;

/** Files by which a kubelet knows the API server. */
export interface KubeletClient {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** Writes a certificate with which the API server may do everything on kubelets, and its authority. */
export async function writeKubeletClient(dir: string): Promise<KubeletClient> {
  const newKeys = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
  const validity = { notBeforeMs: Date.now() - BACKDATE_MS, notAfterMs: Date.now() + DAY_MS };
  const issuer = { subject: { organisation: "kubelet clients" }, keys: newKeys() };
  const keys = newKeys();
  const subject = { organisation: "system:masters", serverName: "kube-apiserver" };
  const client = { ...validity, subject, keys, usage: "clientAuth", authority: false, issuer } as const;
  const files: KubeletClient = {
    caFile: join(dir, "kubelet-clients.crt"),
    certFile: join(dir, "kubelet-client.crt"),
    keyFile: join(dir, "kubelet-client.key"),
  };
  await writeFile(
    files.caFile,
    createCertificatePem({ ...validity, ...issuer, usage: "clientAuth", authority: true }),
  );
  await writeFile(files.certFile, createCertificatePem(client));
  const key = keys.privateKey.export({ type: "pkcs8", format: "pem" });
  await writeFile(files.keyFile, key, { mode: 0o600 });
  return files;
}
