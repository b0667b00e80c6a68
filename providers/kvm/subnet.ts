/** An IPv4 prefix, its addresses as numbers. */
export interface Prefix {
  readonly base: number;
  readonly length: number;
}

const OCTET = "(25[0-5]|2[0-4]\\d|1?\\d?\\d)";
const ADDRESS = new RegExp(`^${OCTET}(\\.${OCTET}){3}$`);

/** Whether a text is an IPv4 address. */
export const isIPv4 = (text: string): boolean => ADDRESS.test(text);

/** An IPv4 address as a number. */
export const toNumber = (address: string): number =>
  address.split(".").reduce((value, part) => value * 256 + Number(part), 0);

/** A number as an IPv4 address. */
export const toAddress = (value: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");

/** `10.177.0.0/24`, between /8 and /30; undefined for anything else. Host bits are cleared. */
export function parsePrefix(text: string): Prefix | undefined {
  const [address = "", length = "", rest] = text.split("/");
  if (rest !== undefined || !isIPv4(address) || !/^\d{1,2}$/.test(length)) return undefined;
  const bits = Number(length);
  if (bits < 8 || bits > 30) return undefined;
  const value = toNumber(address);
  return { base: value - (value % 2 ** (32 - bits)), length: bits };
}

/** The prefix's mask, written out. */
export const netmask = (prefix: Prefix): string => toAddress(2 ** 32 - 2 ** (32 - prefix.length));

/** The prefix's last address, which is everybody's. */
export const broadcast = (prefix: Prefix): number => prefix.base + 2 ** (32 - prefix.length) - 1;

export const contains = (prefix: Prefix, address: string): boolean =>
  toNumber(address) >= prefix.base && toNumber(address) <= broadcast(prefix);
