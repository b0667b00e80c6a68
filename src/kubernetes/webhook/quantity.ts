/** A quantity in billionths, the finest that Kubernetes keeps. */
export type Nano = bigint;

export const NANO_PER_UNIT: Nano = 1_000_000_000n;
const NANO_PER_MILLI: Nano = 1_000_000n;
const BYTES_PER_MIB = 2n ** 20n;

/** Kubernetes caps at this (apimachinery pkg/api/resource: "no quantity may represent a number greater than 2^63-1"). */
const MAX: Nano = (2n ** 63n - 1n) * NANO_PER_UNIT;
/** Longer texts are not written by people or API servers, and cost time. */
const MAX_TEXT = 100;
/** Beyond, any number is over the cap or below a billionth. */
const MAX_EXPONENT = 300;

const PATTERN = /^([+-]?)(\d*)(?:\.(\d*))?(?:([KMGTPE]i)|([numkMGTPE])|[eE]([+-]?\d+))?$/;
const BINARY = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};

/**
 * Reads a Kubernetes quantity (`250m`, `1.5Gi`, `1e3`) exactly; what is finer than a billionth is rounded away from zero, what
 * is over 2^63-1 is capped, both as Kubernetes does. undefined: it is no quantity.
 */
export function parseQuantity(text: string): Nano | undefined {
  if (text.length > MAX_TEXT) return undefined;
  const [matched, sign, whole = "", fraction = "", binary, decimal, exponent] = PATTERN.exec(text) ?? [];
  const digits = whole + fraction;
  if (matched === undefined || digits === "") return undefined;
  const power = exponent === undefined ? (DECIMAL[decimal ?? ""] ?? 0) : clampExponent(exponent);
  const factor = binary === undefined ? 1n : 1024n ** BigInt(BINARY.indexOf(binary) + 1);
  const size = scaled(BigInt(digits) * factor, 9 + power - fraction.length);
  const capped = size > MAX ? MAX : size;
  return sign === "-" ? -capped : capped;
}

const clampExponent = (text: string): number => Math.max(-MAX_EXPONENT, Math.min(MAX_EXPONENT, Number(text)));

/** `value` times ten to that power, rounded up. */
const scaled = (value: bigint, power: number): bigint =>
  power >= 0 ? value * 10n ** BigInt(power) : divideUp(value, 10n ** BigInt(-power));

function divideUp(value: bigint, divisor: bigint): bigint {
  const quotient = value / divisor;
  return value % divisor > 0n ? quotient + 1n : quotient;
}

/** Whole units, rounded up: cores of a CPU quantity, bytes of a memory quantity. */
export const wholeUnits = (value: Nano): bigint => divideUp(value, NANO_PER_UNIT);

/** Thousandths, rounded up. */
export const wholeMillis = (value: Nano): bigint => divideUp(value, NANO_PER_MILLI);

/** MiB (2^20) of a memory quantity, rounded up. */
export const wholeMiB = (value: Nano): bigint => divideUp(value, NANO_PER_UNIT * BYTES_PER_MIB);
