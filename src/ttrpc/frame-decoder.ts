import type { BufferPool } from "./buffer-pool.ts";
import { decodeHeader, type Frame, type FrameHeader, HEADER_BYTES, MAX_DATA_BYTES } from "./frame.ts";

/** From this size on (header and data) a frame has a buffer with room for another header, which may come from a pool. */
export const LARGE_FRAME_BYTES: number = 16 * 1024;
/** Less than this is not worth a read of its own: it comes with what follows. */
const MIN_ROOM_BYTES = 32 * 1024;
/** How much memory is taken for a frame, for each byte of it that has come: an announcement alone must not cost any. */
const TRUST = 64;

const EMPTY: Buffer = Buffer.alloc(0);

/**
 * Cuts a byte stream into frames, whatever its chunking. Keeps no view of a chunk: what it takes is copied into buffers of the
 * frames' own, once. The rest of a large frame may be read straight into `room` instead. Holds at most one frame
 * (HEADER_BYTES + MAX_DATA_BYTES) of bytes. Data of oversized frames is counted and thrown away, as Go's and Rust's
 * implementations do, so that one bad frame costs its stream and not the connection.
 */
export class FrameDecoder {
  readonly #buffers: BufferPool | undefined;
  readonly #head: Buffer = Buffer.alloc(HEADER_BYTES);
  #headUsed = 0;
  /** Of the frame whose data is coming in. */
  #header: FrameHeader | undefined;
  /** Where its data goes, behind HEADER_BYTES for a large one; shorter than the frame at first if little of it has come. */
  #buffer: Buffer = EMPTY;
  #used = 0;
  #toSkip = 0;

  /** `buffers`: where the memory of large frames is taken from; who passes frames on gives it back. */
  constructor(buffers?: BufferPool) {
    this.#buffers = buffers;
  }

  /** Bytes kept for a frame that is not complete yet. */
  get pendingBytes(): number {
    return this.#header === undefined ? this.#headUsed : this.#used;
  }

  /** Whether the stream may end here without cutting a frame. */
  get atBoundary(): boolean {
    return this.#headUsed === 0 && this.#header === undefined && this.#toSkip === 0;
  }

  /** The frames completed by `chunk`, in order. Nothing of `chunk` is kept. */
  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    for (let at = 0; at < chunk.length; ) {
      if (this.#toSkip > 0) {
        const skipped = Math.min(this.#toSkip, chunk.length - at);
        this.#toSkip -= skipped;
        at += skipped;
      } else if (this.#header !== undefined) {
        at += this.#take(this.#header, chunk, at);
        this.#complete(frames);
      } else {
        at += this.#takeHead(chunk, at, frames);
      }
    }
    return frames;
  }

  /** Where the next bytes of the stream may be put, if they are to be told by `filled` and not pushed. */
  get room(): Buffer | undefined {
    return this.#buffer.length - this.#used < MIN_ROOM_BYTES ? undefined : this.#buffer.subarray(this.#used);
  }

  /** The first `bytes` of what was last got from `room` are the next of the stream. Gives the frame that they complete. */
  filled(bytes: number): Frame[] {
    const frames: Frame[] = [];
    this.#used += bytes;
    this.#complete(frames);
    if (this.#header !== undefined && this.#used === this.#buffer.length) this.#grow(this.#header, 1);
    return frames;
  }

  #takeHead(chunk: Buffer, at: number, frames: Frame[]): number {
    if (this.#headUsed === 0 && chunk.length - at >= HEADER_BYTES) {
      this.#begin(decodeHeader(chunk, at), frames);
      return HEADER_BYTES;
    }
    const taken = chunk.copy(this.#head, this.#headUsed, at);
    this.#headUsed += taken;
    if (this.#headUsed === HEADER_BYTES) {
      this.#headUsed = 0;
      this.#begin(decodeHeader(this.#head), frames);
    }
    return taken;
  }

  #begin(header: FrameHeader, frames: Frame[]): void {
    const { streamId, type, flags, length } = header;
    if (length > MAX_DATA_BYTES) {
      this.#toSkip = length;
      frames.push({ streamId, type, flags, data: EMPTY, oversizedBytes: length });
    } else if (length === 0) {
      frames.push({ streamId, type, flags, data: EMPTY });
    } else {
      this.#header = header;
      this.#used = roomBefore(header);
    }
  }

  /** Copies what `chunk` has of the frame; returns how much that is. */
  #take(header: FrameHeader, chunk: Buffer, at: number): number {
    const bytes = Math.min(roomBefore(header) + header.length - this.#used, chunk.length - at);
    if (this.#buffer.length - this.#used < bytes) this.#grow(header, bytes);
    chunk.copy(this.#buffer, this.#used, at, at + bytes);
    this.#used += bytes;
    return bytes;
  }

  /** Takes memory for the whole frame once a part of it has come that shows the peer to be in earnest. */
  #grow(header: FrameHeader, more: number): void {
    const whole = roomBefore(header) + header.length;
    const wanted = Math.min(whole, TRUST * (this.#used + more));
    const larger =
      this.#buffers !== undefined && wanted === whole && whole >= LARGE_FRAME_BYTES
        ? this.#buffers.take(whole)
        : Buffer.allocUnsafe(wanted);
    this.#buffer.copy(larger, 0, 0, this.#used);
    this.#buffer = larger;
  }

  #complete(frames: Frame[]): void {
    const header = this.#header;
    if (header === undefined) return;
    const before = roomBefore(header);
    if (this.#used < before + header.length) return;
    const { streamId, type, flags } = header;
    const framed = this.#buffer;
    this.#header = undefined;
    this.#buffer = EMPTY;
    this.#used = 0;
    if (before === 0) frames.push({ streamId, type, flags, data: framed, framed: undefined });
    else frames.push({ streamId, type, flags, data: framed.subarray(before), framed });
  }
}

/** Bytes before the data in a frame's buffer. */
const roomBefore = (header: FrameHeader): number =>
  HEADER_BYTES + header.length < LARGE_FRAME_BYTES ? 0 : HEADER_BYTES;
