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
  /** The envelope, the receiver's own. Of an oversized frame: empty, its data was discarded. */
  readonly data: Buffer;
  /**
   * Of a large frame: HEADER_BYTES of room and then `data`, in one piece. Passed on to `send` it becomes the sender's: the
   * new header is written into it, and nothing is copied.
   */
  readonly framed?: Buffer | undefined;
  /** Set when the announced length was over MAX_DATA_BYTES; the data was skipped and the connection can go on. */
  readonly oversizedBytes?: number;
}

/** Reads a header from HEADER_BYTES of `bytes`, from `at` on. */
export function decodeHeader(bytes: Buffer, at = 0): FrameHeader {
  return {
    length: bytes.readUInt32BE(at),
    streamId: bytes.readUInt32BE(at + 4),
    type: bytes.readUInt8(at + 8),
    flags: bytes.readUInt8(at + 9),
  };
}

/** The header of a frame with `length` bytes of data. */
export function encodeHeader(header: FrameHeader): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES);
  writeHeader(bytes, 0, header);
  return bytes;
}

/** Writes a header into `bytes` at `at`. */
export function writeHeader(bytes: Buffer, at: number, header: FrameHeader): void {
  bytes.writeUInt32BE(header.length, at);
  bytes.writeUInt32BE(header.streamId, at + 4);
  bytes[at + 8] = header.type;
  bytes[at + 9] = header.flags;
}

/** A whole frame as bytes. Throws RangeError if the data is over MAX_DATA_BYTES: check before. */
export function encodeFrame(frame: Omit<Frame, "framed" | "oversizedBytes">): Buffer {
  const length = frame.data.length;
  if (length > MAX_DATA_BYTES)
    throw new RangeError(`frame data of ${length} bytes exceeds ${MAX_DATA_BYTES}`);
  const header = encodeHeader({ length, streamId: frame.streamId, type: frame.type, flags: frame.flags });
  return length === 0 ? header : Buffer.concat([header, frame.data]);
}
