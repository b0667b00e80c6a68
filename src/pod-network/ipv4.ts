/** An IPv4 prefix such as 10.88.0.14/16; the address keeps its host bits. */
export interface Prefix {
  readonly address: string;
  readonly bits: number;
}

const IPV4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;

/** The address as a number, or undefined if the text is not a dotted IPv4 address. */
export function ipv4ToNumber(text: string): number | undefined {
  const bytes = IPV4.exec(text)?.slice(1);
  if (!bytes || bytes.some((byte) => Number(byte) > 255 || (byte.length > 1 && byte.startsWith("0"))))
    return undefined;
  return bytes.reduce((sum, byte) => sum * 256 + Number(byte), 0);
}

export const isIpv4 = (text: string): boolean => ipv4ToNumber(text) !== undefined;

/** `default`, `a.b.c.d` (32 bits) or `a.b.c.d/n`; undefined for anything else. */
export function parsePrefix(text: string): Prefix | undefined {
  if (text === "default") return { address: "0.0.0.0", bits: 0 };
  const [address = "", length = "32", ...rest] = text.split("/");
  const bits = Number(length);
  if (!isIpv4(address) || !/^\d{1,2}$/.test(length) || bits > 32 || rest.length > 0) return undefined;
  return { address, bits };
}

export const formatPrefix = (prefix: Prefix): string => `${prefix.address}/${prefix.bits}`;

/** The prefix without host bits. */
export function network(prefix: Prefix): Prefix {
  const size = 2 ** (32 - prefix.bits);
  const first = Math.floor((ipv4ToNumber(prefix.address) ?? 0) / size) * size;
  const address = [24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join(".");
  return { address, bits: prefix.bits };
}

/** By address, then by length, as the Go adaptor sorts routes (netops Route.compare). */
export const comparePrefixes = (a: Prefix, b: Prefix): number =>
  (ipv4ToNumber(a.address) ?? 0) - (ipv4ToNumber(b.address) ?? 0) || a.bits - b.bits;
