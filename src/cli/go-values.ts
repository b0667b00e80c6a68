/** What a text was read as. `odd` says why a person may have meant something else. */
export type Reading<T> = { readonly ok: true; readonly value: T; readonly odd?: string } | Refusal;

export interface Refusal {
  readonly ok: false;
  /** The accepted form, to follow "expected". */
  readonly expected: string;
}

const refuse = (expected: string): Refusal => ({ ok: false, expected });

const WHOLE_NUMBER = "a whole number such as 30";
const DURATION = "a Go duration such as 300ms, 90s, 5m or 1h30m";

/** What Go's scanner skips (fmt/scan.go, isSpace) but for line feeds, which it refuses; then a number. */
const GO_INT = /^[\t\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*([+-]?[0-9]+)/;

/**
 * An int variable as Go reads it: fmt.Sscanf(text, "%d"), which takes the number that the text begins with and leaves the rest
 * (cloud-api-adaptor src/cloud-providers/util.go, IntWithEnv). What Sscanf refuses, Go silently ignored; we refuse it.
 */
export function readEnvInt(text: string): Reading<number> {
  const digits = GO_INT.exec(text)?.[1];
  const value = Number(digits) + 0; // "-0" is 0
  if (digits === undefined || !Number.isSafeInteger(value)) return refuse(WHOLE_NUMBER);
  if (/^[+-]?[0-9]+$/.test(text)) return { ok: true, value };
  return { ok: true, value, odd: `is read as ${value}, as the Go adaptor did; write ${value}` };
}

/** Digits of each base that Go's ParseInt knows by prefix; underscores may stand between digits and after a prefix. */
const FLAG_INT: readonly { readonly pattern: RegExp; readonly prefix: string }[] = [
  { pattern: /^0[xX]((?:_?[0-9a-fA-F])+)$/, prefix: "0x" },
  { pattern: /^0[bB]((?:_?[01])+)$/, prefix: "0b" },
  { pattern: /^0[oO]?((?:_?[0-7])+)$/, prefix: "0o" },
  { pattern: /^(0|[1-9](?:_?[0-9])*)$/, prefix: "" },
];

/** An int flag as Go reads it: strconv.ParseInt(text, 0, 64). */
export function readFlagInt(text: string): Reading<number> {
  const [, sign = "", body = ""] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  for (const { pattern, prefix } of FLAG_INT) {
    const digits = pattern.exec(body)?.[1];
    if (digits === undefined) continue;
    const magnitude = Number(`${prefix}${digits.replaceAll("_", "")}`);
    if (!Number.isSafeInteger(magnitude)) break;
    const value = sign === "-" && magnitude !== 0 ? -magnitude : magnitude;
    const octal = prefix === "0o" && !/^0[oO]/.test(body);
    return octal
      ? { ok: true, value, odd: `is octal, as for the Go adaptor: ${value}` }
      : { ok: true, value };
  }
  return refuse(WHOLE_NUMBER);
}

/** A bool variable as Go reads it: `1` and `true` in any case are true, everything else is false (BoolWithEnv). */
export function readEnvBool(text: string): Reading<boolean> {
  const lower = text.toLowerCase();
  if (lower === "1" || lower === "true") return { ok: true, value: true };
  if (lower === "0" || lower === "false") return { ok: true, value: false };
  return { ok: true, value: false, odd: "is read as false, as the Go adaptor did; write true or false" };
}

const TRUE_FLAGS: readonly string[] = ["1", "t", "T", "true", "TRUE", "True"];
const FALSE_FLAGS: readonly string[] = ["0", "f", "F", "false", "FALSE", "False"];

/** A bool flag as Go reads it: strconv.ParseBool. */
export function readFlagBool(text: string): Reading<boolean> {
  if (TRUE_FLAGS.includes(text)) return { ok: true, value: true };
  return FALSE_FLAGS.includes(text) ? { ok: true, value: false } : refuse("true or false");
}

const NANOSECONDS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  "\u00b5s": 1e3, // micro sign
  "\u03bcs": 1e3, // Greek mu
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Go's time.Duration is a signed 64 bit number of nanoseconds. */
const MAX_DURATION_MS = 2 ** 63 / 1e6;

/** A duration as Go reads it (time.ParseDuration), in whole milliseconds, rounded away from zero so that nothing becomes 0. */
export function readDuration(text: string): Reading<number> {
  if (/^[+-]?0$/.test(text)) return { ok: true, value: 0 };
  const [, sign = "", body = ""] = /^([+-]?)(.+)$/s.exec(text) ?? [];
  if (!/^(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$/.test(body)) {
    return refuse(/^[+-]?[0-9.]+$/.test(text) ? `${DURATION}: the unit is missing` : DURATION);
  }
  let nanoseconds = 0;
  for (const [, amount = "", unit = ""] of body.matchAll(/([0-9.]+)([a-zµμ]+)/g)) {
    nanoseconds += Number(amount) * (NANOSECONDS[unit] ?? 0);
  }
  const milliseconds = Math.ceil(nanoseconds / 1e6);
  if (milliseconds > MAX_DURATION_MS) return refuse(DURATION);
  return { ok: true, value: sign === "-" && milliseconds !== 0 ? -milliseconds : milliseconds };
}

/** A comma list: items are trimmed, empty ones dropped. */
export function readList(text: string): readonly string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

/**
 * Tags as Go reads them (src/cloud-providers/types.go, KeyValueFlag): `k=v,k=v`, split at the first `=`, trimmed. Go silently
 * dropped a pair without `=` and all after it: refused here. A comma at the very end changes nothing and is only odd.
 */
export function readTags(text: string): Reading<Readonly<Record<string, string>>> {
  const pairs = text.split(",");
  const beforeEnd = pairs.findLastIndex((pair) => pair.trim() !== "") + 1;
  const tags = new Map<string, string>();
  for (const pair of pairs.slice(0, beforeEnd)) {
    const split = pair.indexOf("=");
    const key = pair.slice(0, Math.max(split, 0)).trim();
    if (key === "") return refuse(`key=value pairs separated by commas; ${JSON.stringify(pair)} is none`);
    tags.set(key, pair.slice(split + 1).trim());
  }
  const odd = "ends in a comma with nothing after it";
  const value = Object.fromEntries(tags);
  return beforeEnd < pairs.length ? { ok: true, value, odd } : { ok: true, value };
}
