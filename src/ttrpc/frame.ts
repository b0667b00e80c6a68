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
  /** The envelope. Of an oversized frame: empty, its data was discarded. */
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

/**
 * Cuts a byte stream into frames, whatever its chunking. Holds at most one frame (HEADER_BYTES + MAX_DATA_BYTES) of
 * bytes besides the chunk given to `push`. Data of oversized frames is counted and thrown away, as Go's and Rust's
 * implementations do, so that one bad frame costs its stream and not the connection.
 */
export class FrameDecoder {
  #chunks: Buffer[] = [];
  #buffered = 0;
  #header: FrameHeader | undefined;
  #toSkip = 0;

  /** Bytes kept for a frame that is not complete yet. */
  get pendingBytes(): number {
    return this.#buffered;
  }

  /** Whether the stream may end here without cutting a frame. */
  get atBoundary(): boolean {
    return this.#buffered === 0 && this.#header === undefined && this.#toSkip === 0;
  }

  /** The frames completed by `chunk`, in order. */
  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    let rest = chunk;
    for (;;) {
      if (this.#toSkip > 0) {
        const skipped = Math.min(this.#toSkip, rest.length);
        this.#toSkip -= skipped;
        rest = rest.subarray(skipped);
        if (this.#toSkip > 0) return frames;
      }
      const wanted: number = this.#header === undefined ? HEADER_BYTES : this.#header.length;
      const bytes = this.#take(wanted, rest);
      if (bytes === undefined) return frames;
      rest = bytes.rest;
      this.#accept(bytes.taken, frames);
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
      frames.push({ streamId, type, flags, data: Buffer.alloc(0), oversizedBytes: length });
    } else if (length === 0) {
      frames.push({ streamId, type, flags, data: Buffer.alloc(0) });
    } else {
      this.#header = header;
    }
  }

  /** `wanted` bytes from what is buffered and `rest`, or undefined (and all of it buffered) if they are not there yet. */
  #take(wanted: number, rest: Buffer): { taken: Buffer; rest: Buffer } | undefined {
    const missing = wanted - this.#buffered;
    if (rest.length < missing) {
      if (rest.length > 0) {
        this.#chunks.push(rest);
        this.#buffered += rest.length;
      }
      return undefined;
    }
    const last = rest.subarray(0, missing);
    const taken = this.#buffered === 0 ? last : Buffer.concat([...this.#chunks, last], wanted);
    this.#chunks = [];
    this.#buffered = 0;
    return { taken, rest: rest.subarray(missing) };
  }
}
