import { generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import { invalidConfig } from "../../src/errors/index.ts";

/** Azure wants 2048 at least; each step up costs seconds of the first create after a start. */
const MODULUS_BITS = 3072;
const newPair = promisify(generateKeyPair);

/** Text in the SSH wire format: length and bytes (RFC 4251, 5). */
function sshString(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** A positive number: a leading zero byte keeps it positive (RFC 4251, mpint). */
function sshNumber(base64url: string): Buffer {
  const bytes = Buffer.from(base64url, "base64url");
  return sshString((bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes);
}

/** `ssh-rsa AAAA...` of an RSA public key. */
export function formatSshRsa(key: KeyObject): string {
  const { n = "", e = "" } = key.export({ format: "jwk" });
  const blob = Buffer.concat([sshString(Buffer.from("ssh-rsa")), sshNumber(e), sshNumber(n)]);
  return `ssh-rsa ${blob.toString("base64")}`;
}

/**
 * The public half of a key whose private half is thrown away: Azure demands a key, in ssh-rsa form, and nobody is to log in.
 * Takes seconds of one thread, so it is made once per process.
 */
export async function makeUnusableKey(): Promise<string> {
  const pair = await newPair("rsa", { modulusLength: MODULUS_BITS });
  return formatSshRsa(pair.publicKey);
}

/** Checks one line of an authorized_keys file and returns it. Throws `invalid-config`. */
export function parsePublicKey(content: string, path: string): string {
  const line = content.trim();
  const [type = "", blob = ""] = line.split(/\s+/);
  const decoded = Buffer.from(blob, "base64");
  const inner = decoded.length > 4 ? decoded.subarray(4, 4 + decoded.readUInt32BE(0)).toString() : "";
  if (line.includes("\n") || inner !== type || !/^(ssh-rsa|ssh-ed25519)$/.test(type)) {
    throw invalidConfig(
      `ssh-key-path ${path} is not one ssh-rsa or ssh-ed25519 public key: give the .pub file`,
    );
  }
  return line;
}
