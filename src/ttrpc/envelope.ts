import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** Metadata pairs in wire order; keys are lower case and may repeat. */
export type Metadata = readonly (readonly [key: string, value: string])[];

/** The data of a request frame (containerd/ttrpc request.proto, message Request). */
export interface RequestEnvelope {
  readonly service: string;
  readonly method: string;
  readonly payload: Uint8Array;
  /** What remains of the caller's time, nanoseconds; 0 is none. */
  readonly timeoutNano: bigint;
  readonly metadata: Metadata;
}

/** google.rpc.Status without its details. */
export interface WireStatus {
  readonly code: number;
  readonly message: string;
}

/** The data of a response frame (containerd/ttrpc request.proto, message Response). No status means OK. */
export interface ResponseEnvelope {
  readonly status?: WireStatus;
  readonly payload: Uint8Array;
}

/** Most metadata pairs of a request; more are refused, as each costs many times its bytes in memory. */
export const MAX_METADATA_PAIRS = 4096;

/** Payloads from this size on are sent as a buffer of their own rather than copied into the envelope. */
const LARGE_PAYLOAD_BYTES = 4096;

const tag = (field: number, wireType: WireType): number => (field << 3) | wireType;

/** Calls `onField` for each field; a field that it does not take (returns false) is skipped. Throws on malformed bytes. */
function readFields(bytes: Uint8Array, onField: (tag: number, reader: BinaryReader) => boolean): void {
  // A Buffer's slices are Buffers, whose slice() and toJSON() are not those of the Uint8Array that codecs expect.
  const reader = new BinaryReader(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length));
  while (reader.pos < reader.len) {
    const fieldTag = reader.uint32();
    if (fieldTag >>> 3 === 0) throw new Error("field number 0");
    if (!onField(fieldTag, reader)) reader.skip(fieldTag & 7, fieldTag >>> 3);
  }
}

/** Decodes a request. Throws on malformed protobuf. The payload is a view into `bytes`. */
export function decodeRequest(bytes: Uint8Array): RequestEnvelope {
  let service = "";
  let method = "";
  let payload: Uint8Array = new Uint8Array(0);
  let timeoutNano = 0n;
  const metadata: [string, string][] = [];
  readFields(bytes, (fieldTag, reader) => {
    switch (fieldTag) {
      case tag(1, WireType.LengthDelimited):
        service = reader.string();
        return true;
      case tag(2, WireType.LengthDelimited):
        method = reader.string();
        return true;
      case tag(3, WireType.LengthDelimited):
        payload = reader.bytes();
        return true;
      case tag(4, WireType.Varint):
        timeoutNano = BigInt(reader.int64());
        return true;
      case tag(5, WireType.LengthDelimited):
        if (metadata.length === MAX_METADATA_PAIRS)
          throw new Error(`over ${MAX_METADATA_PAIRS} metadata pairs`);
        metadata.push(decodePair(reader.bytes()));
        return true;
      default:
        return false;
    }
  });
  return { service, method, payload, timeoutNano, metadata };
}

function decodePair(bytes: Uint8Array): [string, string] {
  let key = "";
  let value = "";
  readFields(bytes, (fieldTag, reader) => {
    if (fieldTag === tag(1, WireType.LengthDelimited)) key = reader.string();
    else if (fieldTag === tag(2, WireType.LengthDelimited)) value = reader.string();
    else return false;
    return true;
  });
  return [key, value];
}

/** Encodes a request as Go's implementation does: fields in order, empty ones left out. */
export function encodeRequest(request: RequestEnvelope): Buffer {
  return joined(requestParts(request));
}

/** The bytes of encodeRequest, in pieces: a large payload is a piece of its own and not copied. */
export function requestParts(request: RequestEnvelope): Buffer[] {
  const writer = new BinaryWriter();
  if (request.service !== "") writer.uint32(tag(1, WireType.LengthDelimited)).string(request.service);
  if (request.method !== "") writer.uint32(tag(2, WireType.LengthDelimited)).string(request.method);
  const parts = writePayload(writer, tag(3, WireType.LengthDelimited), request.payload);
  if (request.timeoutNano !== 0n) writer.uint32(tag(4, WireType.Varint)).int64(request.timeoutNano);
  for (const [key, value] of request.metadata) {
    writer.uint32(tag(5, WireType.LengthDelimited)).fork();
    if (key !== "") writer.uint32(tag(1, WireType.LengthDelimited)).string(key);
    if (value !== "") writer.uint32(tag(2, WireType.LengthDelimited)).string(value);
    writer.join();
  }
  return withRest(parts, writer);
}

/** Writes a payload field: small into `writer`, large as pieces (what `writer` held so far, then the payload). */
function writePayload(writer: BinaryWriter, fieldTag: number, payload: Uint8Array): Buffer[] {
  if (payload.length === 0) return [];
  writer.uint32(fieldTag);
  if (payload.length < LARGE_PAYLOAD_BYTES) {
    writer.bytes(payload);
    return [];
  }
  writer.uint32(payload.length);
  return [asBuffer(writer.finish()), asBuffer(payload)];
}

function withRest(parts: Buffer[], writer: BinaryWriter): Buffer[] {
  const rest = asBuffer(writer.finish());
  if (rest.length > 0) parts.push(rest);
  return parts;
}

function joined(parts: readonly Buffer[]): Buffer {
  const [first] = parts;
  return parts.length === 1 && first !== undefined ? first : Buffer.concat(parts);
}

/** Decodes a response. Throws on malformed protobuf. The payload is a view into `bytes`. */
export function decodeResponse(bytes: Uint8Array): ResponseEnvelope {
  let status: WireStatus | undefined;
  let payload: Uint8Array = new Uint8Array(0);
  readFields(bytes, (fieldTag, reader) => {
    if (fieldTag === tag(1, WireType.LengthDelimited)) status = decodeStatus(reader.bytes());
    else if (fieldTag === tag(2, WireType.LengthDelimited)) payload = reader.bytes();
    else return false;
    return true;
  });
  return status === undefined ? { payload } : { status, payload };
}

function decodeStatus(bytes: Uint8Array): WireStatus {
  let code = 0;
  let message = "";
  readFields(bytes, (fieldTag, reader) => {
    if (fieldTag === tag(1, WireType.Varint)) code = reader.int32();
    else if (fieldTag === tag(2, WireType.LengthDelimited)) message = reader.string();
    else return false;
    return true;
  });
  return { code, message };
}

/** Encodes a response; one with neither status nor payload is empty, as Go's success with an Empty message is. */
export function encodeResponse(response: ResponseEnvelope): Buffer {
  return joined(responseParts(response));
}

/** The bytes of encodeResponse, in pieces: a large payload is a piece of its own and not copied. */
export function responseParts(response: ResponseEnvelope): Buffer[] {
  const writer = new BinaryWriter();
  const { status } = response;
  if (status !== undefined && status.code !== 0) {
    writer.uint32(tag(1, WireType.LengthDelimited)).fork();
    writer.uint32(tag(1, WireType.Varint)).int32(status.code);
    if (status.message !== "") writer.uint32(tag(2, WireType.LengthDelimited)).string(status.message);
    writer.join();
  }
  return withRest(writePayload(writer, tag(2, WireType.LengthDelimited), response.payload), writer);
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
