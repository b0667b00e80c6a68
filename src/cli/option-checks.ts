import { isIP } from "node:net";
import { resolve } from "node:path";
import { readDuration } from "./go-values.ts";

/** Why a value is not acceptable; undefined if it is. */
export type Check = (value: string) => string | undefined;

/**
 * The longest PODS_DIR: `<PODS_DIR>/<64 digits>/agent.ttrpc` must fit the 107 bytes of a unix socket's path (unix(7)).
 */
export const MAX_PODS_DIR_BYTES: number = 107 - "/agent.ttrpc".length - 64 - 1;
const MAX_SOCKET_PATH_BYTES = 107;
/** A socket that waits beside its path has such a suffix (src/admin/placed-socket.ts). */
const PLACED_SUFFIX_BYTES = ".1f0c2a".length;
/** A VXLAN network identifier has 24 bits. */
export const MAX_VNI: number = 2 ** 24 - 1;

/** One of these words. */
export const oneOf =
  (words: readonly string[]): Check =>
  (value) =>
    words.includes(value) ? undefined : `expected ${words.join(" or ")}`;

/** A whole number in these bounds, both included. */
export const numberBetween =
  (low: number, high: number): Check =>
  (value) =>
    /^-?[0-9]+$/.test(value) && Number(value) >= low && Number(value) <= high
      ? undefined
      : `expected a number from ${low} to ${high}`;

/** A TCP or UDP port. */
export const port: Check = numberBetween(1, 65535);

/** A path that begins at the root. */
export const absolutePath: Check = (value) =>
  value.startsWith("/") && !value.includes("\0") ? undefined : "expected an absolute path";

/** Bytes of the absolute form; the Go adaptor took relative paths too. */
const pathBytes = (value: string): number => Buffer.byteLength(resolve(value));

/** A path at which a unix socket can be bound; relative ones are measured in full. */
export const socketPath: Check = (value) => {
  const bytes = pathBytes(value);
  return bytes > MAX_SOCKET_PATH_BYTES
    ? `a unix socket's path has at most ${MAX_SOCKET_PATH_BYTES} bytes, this one has ${bytes}`
    : undefined;
};

/** As `socketPath`, with room for the suffix of a socket that waits beside it. */
export const placedSocketPath: Check = (value) => {
  const most = MAX_SOCKET_PATH_BYTES - PLACED_SUFFIX_BYTES;
  const bytes = pathBytes(value);
  return bytes > most ? `this socket's path may have ${most} bytes, it has ${bytes}` : undefined;
};

/** A folder that leaves room for the agent sockets below it. */
export const podsDir: Check = (value) => {
  const bytes = pathBytes(value);
  return bytes > MAX_PODS_DIR_BYTES
    ? `it has ${bytes} bytes and may have ${MAX_PODS_DIR_BYTES}: the agent socket of each pod lies below it, and a unix socket's path has at most ${MAX_SOCKET_PATH_BYTES}`
    : undefined;
};

/** Zero or more. What is no duration at all is reported elsewhere. */
export const notNegativeDuration: Check = (value) => {
  const reading = readDuration(value);
  return reading.ok && reading.value < 0 ? "expected a duration that is not negative" : undefined;
};

/** More than zero. What is no duration at all is reported elsewhere. */
export const positiveDuration: Check = (value) => {
  const reading = readDuration(value);
  return reading.ok && reading.value <= 0 ? "expected a duration above 0" : undefined;
};

/** An IPv4 or IPv6 prefix. */
export const cidr: Check = (value) => {
  const [address = "", length = "", ...rest] = value.split("/");
  const bits = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  const isPrefix = /^(0|[1-9][0-9]*)$/.test(length) && Number(length) <= bits && rest.length === 0;
  return isPrefix ? undefined : `${JSON.stringify(value)} is not a CIDR such as 10.244.0.0/16`;
};
