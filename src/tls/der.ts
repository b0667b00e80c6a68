/** The few ASN.1 DER encodings (ITU-T X.690) that a certificate of ours is made of. */

const Tag = {
  Boolean: 0x01,
  Integer: 0x02,
  BitString: 0x03,
  OctetString: 0x04,
  Oid: 0x06,
  PrintableString: 0x13,
  UtcTime: 0x17,
  GeneralizedTime: 0x18,
  Sequence: 0x30,
  Set: 0x31,
} as const;

/** UTCTime ends with 2049 (RFC 5280, 4.1.2.5). */
const FIRST_GENERALIZED_YEAR = 2050;

function tlv(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  if (body.length < 0x80) return Buffer.concat([Buffer.of(tag, body.length), body]);
  const length = unsigned(body.length);
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length), length, body]);
}

function unsigned(value: number): Buffer {
  const hex = value.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
}

/** Context-specific tag [n], constructed: explicit tags and SEQUENCE-like choices. */
export const context = (n: number, ...content: readonly Uint8Array[]): Buffer => tlv(0xa0 | n, ...content);
/** Context-specific tag [n], primitive: implicit strings. */
export const contextPrimitive = (n: number, content: Uint8Array): Buffer => tlv(0x80 | n, content);
export const sequence = (...items: readonly Uint8Array[]): Buffer => tlv(Tag.Sequence, ...items);
export const setOf = (item: Uint8Array): Buffer => tlv(Tag.Set, item);
export const octetString = (bytes: Uint8Array): Buffer => tlv(Tag.OctetString, bytes);
/** Only TRUE: FALSE is a default wherever we need it, and defaults are left out in DER. */
export const booleanTrue = (): Buffer => tlv(Tag.Boolean, Buffer.of(0xff));
/** Letters, digits and `-` only; others are not PrintableString. */
export const printableString = (text: string): Buffer => tlv(Tag.PrintableString, Buffer.from(text, "ascii"));

/** A non-negative INTEGER from big-endian bytes. */
export function integer(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const shortest = bytes.subarray(start);
  const needsSign = (shortest[0] ?? 0) >= 0x80;
  return tlv(Tag.Integer, ...(needsSign ? [Buffer.of(0), shortest] : [shortest]));
}

/** `unusedBits`: how many of the last byte's low bits do not count. */
export const bitString = (bytes: Uint8Array, unusedBits = 0): Buffer =>
  tlv(Tag.BitString, Buffer.of(unusedBits), bytes);

/** An OBJECT IDENTIFIER from its dotted form. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return tlv(Tag.Oid, Buffer.from([first * 40 + second, ...rest].flatMap(base128)));
}

function base128(value: number): number[] {
  const digits = [value & 0x7f];
  for (let left = Math.floor(value / 128); left > 0; left = Math.floor(left / 128))
    digits.unshift((left & 0x7f) | 0x80);
  return digits;
}

/** A time to the second, in the form that RFC 5280 asks for. */
export function time(ms: number): Buffer {
  const date = new Date(ms);
  const digits = date.toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  return date.getUTCFullYear() < FIRST_GENERALIZED_YEAR
    ? tlv(Tag.UtcTime, Buffer.from(digits.slice(2), "ascii"))
    : tlv(Tag.GeneralizedTime, Buffer.from(digits, "ascii"));
}
