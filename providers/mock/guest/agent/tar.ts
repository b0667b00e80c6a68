import { invalidRequest } from "../../../../src/errors/index.ts";

// POSIX.1-2017 pax interchange format and GNU tar's long names, as far as image layers use them.

const BLOCK_BYTES = 512;
/** Most bytes of a long name or a pax header; anything larger is not a sensible layer. */
const MAX_META_BYTES = 1024 * 1024;

/** One member of an archive. */
export interface TarEntry {
  /** As written, without a trailing slash. */
  readonly path: string;
  readonly type: "file" | "directory" | "symlink" | "hardlink" | "char" | "block" | "fifo";
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content. */
  readonly size: number;
  /** Target of a symbolic or hard link. */
  readonly linkTarget: string;
  readonly major: number;
  readonly minor: number;
}

const TYPES: Readonly<Record<string, TarEntry["type"]>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  "5": "directory",
  "2": "symlink",
  "1": "hardlink",
  "3": "char",
  "4": "block",
  "6": "fifo",
};

/** Reads exact amounts from a stream of chunks. */
class ChunkReader {
  readonly #source: AsyncIterator<Buffer>;
  #chunk: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The next piece, of at most `most` bytes; undefined at the end. */
  async some(most: number): Promise<Buffer | undefined> {
    while (this.#chunk.length === 0) {
      const next = await this.#source.next();
      if (next.done === true) return undefined;
      this.#chunk = next.value;
    }
    const piece = this.#chunk.subarray(0, most);
    this.#chunk = this.#chunk.subarray(piece.length);
    return piece;
  }

  /** Exactly `bytes` bytes; undefined when the stream ends before the first. */
  async exactly(bytes: number): Promise<Buffer | undefined> {
    const pieces: Buffer[] = [];
    let missing = bytes;
    while (missing > 0) {
      const piece = await this.some(missing);
      if (piece === undefined) {
        if (pieces.length === 0) return undefined;
        throw invalidRequest("an image layer ends in the middle of a member");
      }
      pieces.push(piece);
      missing -= piece.length;
    }
    return Buffer.concat(pieces);
  }
}

const text = (block: Buffer, at: number, length: number): string => {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return field.subarray(0, end < 0 ? length : end).toString();
};

/** Octal digits, or GNU's base-256 with the top bit set. */
function number(block: Buffer, at: number, length: number): number {
  if (((block[at] ?? 0) & 0x80) === 0) return Number.parseInt(text(block, at, length).trim() || "0", 8);
  return block.subarray(at + 1, at + length).reduce((value, byte) => value * 256 + byte, 0);
}

function parsePax(records: Buffer): Record<string, string> {
  const found: Record<string, string> = {};
  let at = 0;
  while (at < records.length) {
    const space = records.indexOf(0x20, at);
    const length = Number(records.subarray(at, space).toString());
    if (space < 0 || !(length > 0)) throw invalidRequest("an image layer has a damaged pax header");
    const record = records.subarray(space + 1, at + length - 1).toString();
    const equals = record.indexOf("=");
    found[record.slice(0, equals)] = record.slice(equals + 1);
    at += length;
  }
  return found;
}

/** What a pax or GNU header said about the member that follows it. */
interface Overrides {
  path?: string;
  linkTarget?: string;
  pax?: Record<string, string>;
}

function toEntry(block: Buffer, overrides: Overrides): TarEntry | undefined {
  const type = TYPES[String.fromCharCode(block[156] ?? 0)];
  if (type === undefined) return undefined;
  const pax = overrides.pax ?? {};
  const prefix = text(block, 257, 5) === "ustar" && block[263] === 0x30 ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  const path = pax["path"] ?? overrides.path ?? (prefix === "" ? name : `${prefix}/${name}`);
  const isDirectory = type === "directory" || (type === "file" && path.endsWith("/"));
  return {
    path: path.replace(/\/+$/, ""),
    type: isDirectory ? "directory" : type,
    mode: number(block, 100, 8) & 0o7777,
    uid: Number(pax["uid"] ?? number(block, 108, 8)),
    gid: Number(pax["gid"] ?? number(block, 116, 8)),
    size: sizeOf(block, overrides),
    linkTarget: pax["linkpath"] ?? overrides.linkTarget ?? text(block, 157, 100),
    major: number(block, 329, 8),
    minor: number(block, 337, 8),
  };
}

const sizeOf = (block: Buffer, overrides: Overrides): number =>
  Number(overrides.pax?.["size"] ?? number(block, 124, 12));

/** Reads the content of a meta member into `overrides`; false if the member is none. */
async function takeMeta(reader: ChunkReader, block: Buffer, overrides: Overrides): Promise<boolean> {
  const kind = String.fromCharCode(block[156] ?? 0);
  if (!["x", "g", "L", "K"].includes(kind)) return false;
  const size = number(block, 124, 12);
  if (size > MAX_META_BYTES) throw invalidRequest(`an image layer has a header of ${size} bytes`);
  const content = (await reader.exactly(size)) ?? Buffer.alloc(0);
  await reader.exactly(padding(size));
  if (kind === "x") overrides.pax = parsePax(content);
  if (kind === "L") overrides.path = content.toString().replace(/\0.*$/s, "");
  if (kind === "K") overrides.linkTarget = content.toString().replace(/\0.*$/s, "");
  return true;
}

const padding = (size: number): number => (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;

async function* contentOf(
  reader: ChunkReader,
  progress: { left: number },
): AsyncGenerator<Buffer, void, undefined> {
  while (progress.left > 0) {
    const piece = await reader.some(progress.left);
    if (piece === undefined) throw invalidRequest("an image layer ends in the middle of a file");
    progress.left -= piece.length;
    yield piece;
  }
}

/**
 * The members of an archive, in order. The content of each must be read, or is skipped, before the next is asked for.
 * Throws `invalid-request` on a damaged archive.
 */
export async function* readTar(
  source: AsyncIterable<Buffer>,
): AsyncGenerator<{ entry: TarEntry; content: AsyncIterable<Buffer> }, void, undefined> {
  const reader = new ChunkReader(source);
  let overrides: Overrides = {};
  for (;;) {
    const block = await reader.exactly(BLOCK_BYTES);
    if (block === undefined || block.every((byte) => byte === 0)) return;
    if (await takeMeta(reader, block, overrides)) continue;
    const size = sizeOf(block, overrides);
    const entry = toEntry(block, overrides);
    overrides = {};
    const progress = { left: size };
    const content = contentOf(reader, progress);
    if (entry !== undefined) yield { entry, content };
    while (progress.left > 0) {
      const skipped = await reader.some(progress.left);
      if (skipped === undefined) throw invalidRequest("an image layer ends in the middle of a file");
      progress.left -= skipped.length;
    }
    await reader.exactly(padding(size));
  }
}
