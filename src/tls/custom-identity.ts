import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { describeError, invalidConfig } from "../errors/index.ts";
import { readTextFile, Secret } from "../platform/index.ts";
import { CUSTOM_SERVER_NAME } from "./options.ts";

/** The operator's own certificates (CACERT_FILE, CERT_FILE, CERT_KEY): the same for all VMs, whose image brings the other half. */
export interface CustomIdentity {
  readonly serverName: typeof CUSTOM_SERVER_NAME;
  /** One or more certificates: who signs the VMs' certificates. */
  readonly caPem: string;
  /** Our certificate, with its chain if the file has one. */
  readonly clientCertPem: string;
  readonly clientKeyPem: Secret;
}

export interface CustomIdentityFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** Certificates are a few KiB; a bundle of all public authorities is 250 KiB. */
const MAX_FILE_BYTES = 1024 * 1024;

const CERTIFICATE_BLOCK = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/**
 * Reads and checks the three files: PEM that parses, and a key that belongs to the certificate. Throws `invalid-config` that
 * names the variable and the file. To follow a rotation call it again: nothing is kept.
 */
export async function loadCustomIdentity(files: CustomIdentityFiles): Promise<CustomIdentity> {
  const caPem = await read("CACERT_FILE", files.caFile);
  const certPem = await read("CERT_FILE", files.certFile);
  const keyText = await read("CERT_KEY", files.keyFile);
  certificates("CACERT_FILE", files.caFile, caPem);
  const [own] = certificates("CERT_FILE", files.certFile, certPem);
  const key = privateKey(files.keyFile, keyText);
  if (!own?.checkPrivateKey(key)) {
    throw invalidConfig(
      `CERT_KEY=${files.keyFile} is not the key of the certificate in CERT_FILE=${files.certFile}; give the pair that was issued together`,
    );
  }
  return {
    serverName: CUSTOM_SERVER_NAME,
    caPem,
    clientCertPem: certPem,
    clientKeyPem: new Secret(keyText),
  };
}

async function read(variable: string, file: string): Promise<string> {
  if (file === "") {
    throw invalidConfig(
      `${variable} is not set; CACERT_FILE, CERT_FILE and CERT_KEY are given together or not at all`,
    );
  }
  try {
    return await readTextFile(file, MAX_FILE_BYTES);
  } catch (cause) {
    throw invalidConfig(`${variable}=${file} cannot be read: ${describeError(cause)}`, { cause });
  }
}

function certificates(variable: string, file: string, text: string): X509Certificate[] {
  const blocks = text.match(CERTIFICATE_BLOCK) ?? [];
  if (blocks.length === 0) {
    throw invalidConfig(`${variable}=${file} holds no PEM certificate (-----BEGIN CERTIFICATE-----)`);
  }
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      throw invalidConfig(
        `${variable}=${file}: certificate ${index + 1} of ${blocks.length} cannot be parsed: ${describeError(cause)}`,
        { cause },
      );
    }
  });
}

function privateKey(file: string, text: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch {
    // OpenSSL's text is left out: it says nothing of use, and may quote what it read.
    throw invalidConfig(`CERT_KEY=${file} is not an unencrypted PEM private key`);
  }
}
