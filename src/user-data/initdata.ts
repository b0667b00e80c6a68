import { createHash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import { parse, TomlError } from "smol-toml";
import { describeError, invalidInitdata } from "../errors/index.ts";
import { positionOfKey } from "./toml-lines.ts";

/** What Kata's shims and the stock image take. */
export const INITDATA_ALGORITHMS = ["sha256", "sha384", "sha512"] as const;
export type InitdataAlgorithm = (typeof INITDATA_ALGORITHMS)[number];

/** A checked initdata document: what a pod VM is measured and configured with. */
export interface Initdata {
  /** The document's exact bytes: the digest is over them. */
  readonly toml: Buffer;
  readonly algorithm: InitdataAlgorithm;
  readonly version: string;
  /** File name to content. */
  readonly data: Readonly<Record<string, string>>;
}

/** Most bytes of the text that is given, and of the TOML in it. Clouds take 64 KiB of user data at most. */
const MAX_INITDATA_BYTES = 1024 * 1024;

const KNOWN_KEYS = ["algorithm", "version", "data"] as const;

/**
 * Reads initdata: plain TOML (what a shim sends of the pod's annotation) or base64(gzip(TOML)) in the standard alphabet, blanks
 * and line breaks allowed (what INITDATA holds). Throws `invalid-initdata` that names line, column and key.
 */
export function parseInitdata(text: string): Initdata {
  if (Buffer.byteLength(text) > MAX_INITDATA_BYTES) {
    throw invalidInitdata(
      `initdata is ${Buffer.byteLength(text)} bytes, at most ${MAX_INITDATA_BYTES} are accepted`,
    );
  }
  const packed = text.replaceAll(/\s+/g, "");
  if (packed === "") throw invalidInitdata("initdata is empty; give TOML, or base64 of gzip of TOML");
  // A document has quotes and `=` with something behind it, so it never looks like base64.
  const toml = /^[A-Za-z0-9+/_-]+=*$/.test(packed) ? unpack(packed) : Buffer.from(text);
  return checkDocument(toml);
}

/** The annotation's initdata if it has one, else the global one (INITDATA). A wrong annotation throws; nothing takes its place. */
export function chooseInitdata(
  annotation: string | undefined,
  globalInitdata: Initdata | undefined,
): Initdata | undefined {
  return annotation === undefined || annotation === "" ? globalInitdata : parseInitdata(annotation);
}

/** base64(gzip(TOML)), what /run/peerpod/initdata holds. The same bytes in give the same text out. */
export function encodeInitdata(toml: Uint8Array | string): string {
  return gzipSync(toml).toString("base64");
}

/** Hex of the document's own hash over its exact bytes: what the VM writes to /run/peerpod/initdata.digest. */
export function initdataDigest(initdata: Pick<Initdata, "toml" | "algorithm">): string {
  return createHash(initdata.algorithm).update(initdata.toml).digest("hex");
}

function unpack(packed: string): Buffer {
  if (/[_-]/.test(packed)) {
    throw invalidInitdata(
      "initdata is neither TOML nor standard base64: `-` and `_` belong to the URL alphabet",
    );
  }
  const bytes = Buffer.from(packed, "base64");
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) {
    throw invalidInitdata(
      "initdata looks like base64 but does not hold gzip; make it with: gzip -c FILE | base64 -w0",
    );
  }
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_INITDATA_BYTES });
  } catch (cause) {
    if (cause instanceof RangeError) {
      throw invalidInitdata(`initdata unpacks to more than ${MAX_INITDATA_BYTES} bytes`, { cause });
    }
    throw invalidInitdata(`initdata is damaged base64 or gzip: ${describeError(cause)}`, { cause });
  }
}

function checkDocument(toml: Buffer): Initdata {
  const text = decodeUtf8(toml);
  const document = parseToml(text);
  for (const key of Object.keys(document)) {
    const known = KNOWN_KEYS.find((name) => name === key.toLowerCase());
    if (known !== undefined && known !== key) throw wrongKey(text, key, `must be spelled ${known}`);
  }
  const algorithm = INITDATA_ALGORITHMS.find((name) => name === document["algorithm"]);
  if (algorithm === undefined)
    throw wrongKey(text, "algorithm", `must be one of ${quoted(INITDATA_ALGORITHMS)}`);
  const version = document["version"];
  if (typeof version !== "string") throw wrongKey(text, "version", 'must be a string, such as "0.1.0"');
  return { toml, algorithm, version, data: checkData(text, document["data"]) };
}

function checkData(text: string, table: unknown): Record<string, string> {
  if (table === undefined) return {};
  if (typeof table !== "object" || table === null || Array.isArray(table) || table instanceof Date) {
    throw wrongKey(text, "data", "must be a table of file names and contents");
  }
  const data: Record<string, string> = {};
  for (const [name, content] of Object.entries(table)) {
    if (typeof content !== "string") throw wrongKey(text, name, "in [data] must be a string");
    data[name] = content;
  }
  return data;
}

function parseToml(text: string): Record<string, unknown> {
  try {
    return parse(text, { unsafeKeyBehaviour: "throw" });
  } catch (cause) {
    if (!(cause instanceof TomlError)) {
      throw invalidInitdata(`initdata is not TOML: ${describeError(cause)}`, { cause });
    }
    // The rest of the message quotes the document.
    const reason = (cause.message.split("\n")[0] ?? "").replace(/^Invalid TOML document: /, "");
    const key = keyOnLine(text, cause.line);
    throw invalidInitdata(
      `initdata is not TOML: line ${cause.line}, column ${cause.column}${key === undefined ? "" : `, key ${key}`}: ${reason}`,
    );
  }
}

function keyOnLine(text: string, line: number): string | undefined {
  const match = /^\s*("[^"]*"|'[^']*'|[A-Za-z0-9_-]+)\s*=/.exec(text.split("\n")[line - 1] ?? "");
  return match?.[1];
}

function wrongKey(text: string, key: string, problem: string): Error {
  const at = positionOfKey(text, key);
  const where = at === undefined ? "" : `line ${at.line}, column ${at.column}, `;
  const missing = at === undefined && KNOWN_KEYS.some((name) => name === key) ? " and is missing" : "";
  return invalidInitdata(`initdata: ${where}key ${key} ${problem}${missing}`);
}

const quoted = (names: readonly string[]): string => names.map((name) => `"${name}"`).join(", ");

function decodeUtf8(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw invalidInitdata("initdata is not UTF-8 text", { cause });
  }
}
