/** Bytes of a frame header: u32 data length, u32 stream id, u8 type, u8 flags, big-endian (containerd/ttrpc PROTOCOL.md). */
export const HEADER_BYTES = 10;
/** Most bytes of data that a frame may carry (containerd/ttrpc channel.go, messageLengthMax). */
export const MAX_DATA_BYTES: number = 4 * 1024 * 1024;

/** Message types (containerd/ttrpc PROTOCOL.md); any other is to be ignored. */
export const FrameType = { Request: 1, Response: 2, Data: 3 } as const;
/** Message flags (containerd/ttrpc PROTOCOL.md). A request without any is unary. */
export const FrameFlag = { RemoteClosed: 1, RemoteOpen: 2, NoData: 4 } as const;

export interface FrameHeader {
  /** Bytes of data that follow the header. */
  readonly length: number;
  /** Chosen by the client: odd and rising. */
  readonly streamId: number;
  readonly type: number;
  readonly flags: number;
}

export interface Frame {
  readonly streamId: number;
  readonly type: number;
  readonly flags: number;
  /**
   * The envelope. Of an oversized frame: empty, its data was discarded. May be a view into a larger chunk of the
   * stream: copy it (Buffer.from) if it is kept for long.
   */
  readonly data: Buffer;
  /** Set when the announced length was over MAX_DATA_BYTES; the data was skipped and the connection can go on. */
  readonly oversizedBytes?: number;
}

/** Reads a header from the first HEADER_BYTES of `bytes`. */
export function decodeHeader(bytes: Buffer): FrameHeader {
  return {
    length: bytes.readUInt32BE(0),
    streamId: bytes.readUInt32BE(4),
    type: bytes.readUInt8(8),
    flags: bytes.readUInt8(9),
  };
}

/** The header of a frame with `length` bytes of data. */
export function encodeHeader(header: FrameHeader): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES);
  bytes.writeUInt32BE(header.length, 0);
  bytes.writeUInt32BE(header.streamId, 4);
  bytes.writeUInt8(header.type, 8);
  bytes.writeUInt8(header.flags, 9);
  return bytes;
}

/** A whole frame as bytes. Throws RangeError if the data is over MAX_DATA_BYTES: check before. */
export function encodeFrame(frame: Omit<Frame, "oversizedBytes">): Buffer {
  const length = frame.data.length;
  if (length > MAX_DATA_BYTES)
    throw new RangeError(`frame data of ${length} bytes exceeds ${MAX_DATA_BYTES}`);
  const header = encodeHeader({ length, streamId: frame.streamId, type: frame.type, flags: frame.flags });
  return length === 0 ? header : Buffer.concat([header, frame.data]);
}

/** Chunks below this are copied together: a peer that sends byte by byte must not cost an object per byte. */
const SMALL_CHUNK_BYTES = 4096;
const EMPTY = Buffer.alloc(0);

/**
 * Cuts a byte stream into frames, whatever its chunking. Holds at most one frame (HEADER_BYTES + MAX_DATA_BYTES) of
 * bytes besides the chunk given to `push`. Data of oversized frames is counted and thrown away, as Go's and Rust's
 * implementations do, so that one bad frame costs its stream and not the connection.
 */
export class FrameDecoder {
  readonly #partial: PartialBytes = new PartialBytes();
  #header: FrameHeader | undefined;
  #toSkip = 0;

  /** Bytes kept for a frame that is not complete yet. */
  get pendingBytes(): number {
    return this.#partial.length;
  }

  /** Whether the stream may end here without cutting a frame. */
  get atBoundary(): boolean {
    return this.#partial.length === 0 && this.#header === undefined && this.#toSkip === 0;
  }

  /** The frames completed by `chunk`, in order. Their data may be views into `chunk`, which must not change any more. */
  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    let at = 0;
    for (;;) {
      const skipped = Math.min(this.#toSkip, chunk.length - at);
      this.#toSkip -= skipped;
      at += skipped;
      const missing = (this.#header?.length ?? HEADER_BYTES) - this.#partial.length;
      if (chunk.length - at < missing) {
        if (at < chunk.length) this.#partial.append(chunk.subarray(at));
        return frames;
      }
      const last = chunk.subarray(at, at + missing);
      at += missing;
      this.#accept(this.#partial.length === 0 ? last : this.#partial.takeWith(last), frames);
    }
  }

  #accept(bytes: Buffer, frames: Frame[]): void {
    if (this.#header !== undefined) {
      const { streamId, type, flags } = this.#header;
      this.#header = undefined;
      frames.push({ streamId, type, flags, data: bytes });
      return;
    }
    const header = decodeHeader(bytes);
    const { streamId, type, flags, length } = header;
    if (length > MAX_DATA_BYTES) {
      this.#toSkip = length;
      frames.push({ streamId, type, flags, data: EMPTY, oversizedBytes: length });
    } else if (length === 0) {
      frames.push({ streamId, type, flags, data: EMPTY });
    } else {
      this.#header = header;
    }
  }
}

/** The beginning of a frame: large chunks as they came, small ones copied into blocks. */
class PartialBytes {
  #chunks: Buffer[] = [];
  #block: Buffer = EMPTY;
  #blockUsed = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  append(chunk: Buffer): void {
    this.#length += chunk.length;
    if (chunk.length >= SMALL_CHUNK_BYTES) {
      this.#closeBlock();
      this.#chunks.push(chunk);
      return;
    }
    if (this.#block.length - this.#blockUsed < chunk.length) {
      this.#closeBlock();
      // Twice what is there: few blocks for large frames, little memory for small ones.
      this.#block = Buffer.allocUnsafe(Math.min(Math.max(64, 2 * this.#length), 16 * SMALL_CHUNK_BYTES));
    }
    this.#blockUsed += chunk.copy(this.#block, this.#blockUsed);
  }

  /** All bytes, and `last` after them, as one buffer; empties this. */
  takeWith(last: Buffer): Buffer {
    this.#closeBlock();
    const bytes = Buffer.concat([...this.#chunks, last], this.#length + last.length);
    this.#chunks = [];
    this.#length = 0;
    return bytes;
  }

  #closeBlock(): void {
    if (this.#blockUsed > 0) {
      const used = this.#block.subarray(0, this.#blockUsed);
      this.#chunks.push(2 * used.length < this.#block.length ? Buffer.from(used) : used);
    }
    this.#block = EMPTY;
    this.#blockUsed = 0;
  }
}
