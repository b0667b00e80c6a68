import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  MAX_METADATA_PAIRS,
  requestParts,
} from "./envelope.ts";
import { encodeFrame, encodeHeader, type Frame, HEADER_BYTES, MAX_DATA_BYTES } from "./frame.ts";
import { FrameDecoder } from "./frame-decoder.ts";

const anyFrame = fc.record({
  streamId: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  type: fc.integer({ min: 0, max: 255 }),
  flags: fc.integer({ min: 0, max: 255 }),
  data: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
});

/** Pushes `bytes` in pieces of the given sizes, the sizes used over and over. */
function decodeInPieces(decoder: FrameDecoder, bytes: Buffer, sizes: readonly number[]): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    frames.push(...decoder.push(bytes.subarray(at, at + size)));
    at += size;
  }
  return frames;
}

const plain = (frame: Frame) => ({ ...frame, data: frame.data.toString("hex") });

describe("the frame decoder", () => {
  test("gives back any frames, however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 5 }),
        (frames, sizes) => {
          const decoder = new FrameDecoder();
          const seen = decodeInPieces(decoder, Buffer.concat(frames.map(encodeFrame)), sizes);
          expect(seen.map(plain)).toEqual(frames.map(plain));
          expect(decoder.atBoundary).toBe(true);
        },
      ),
    );
  });

  test("takes any garbage without a throw, and holds no more than one frame of it", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (chunks) => {
        const decoder = new FrameDecoder();
        for (const chunk of chunks) {
          decoder.push(Buffer.from(chunk));
          expect(decoder.pendingBytes).toBeLessThanOrEqual(HEADER_BYTES + MAX_DATA_BYTES);
        }
      }),
    );
  });

  test("reports an oversized frame, skips its data and goes on with the next", () => {
    const length = MAX_DATA_BYTES + 1;
    const next = encodeFrame({ streamId: 3, type: 1, flags: 0, data: Buffer.from("next") });
    const bytes = Buffer.concat([
      encodeHeader({ length, streamId: 1, type: 1, flags: 0 }),
      Buffer.alloc(length, 0xee),
      next,
    ]);
    for (const size of [HEADER_BYTES + 5, 65_536, bytes.length]) {
      const frames = decodeInPieces(new FrameDecoder(), bytes, [size]);
      expect(frames.map(plain)).toEqual([
        { streamId: 1, type: 1, flags: 0, data: "", oversizedBytes: length },
        { streamId: 3, type: 1, flags: 0, data: Buffer.from("next").toString("hex") },
      ]);
    }
  });

  test("puts together a frame of the largest size from single bytes and from mixed pieces", () => {
    const data = Buffer.alloc(MAX_DATA_BYTES);
    for (let at = 0; at < data.length; at += 4) data.writeUInt32BE(at, at);
    const bytes = encodeFrame({ streamId: 1, type: 1, flags: 0, data });
    for (const sizes of [[1], [1, 4096, 5000, 70_000], [65_536]]) {
      const [frame] = decodeInPieces(new FrameDecoder(), bytes, sizes);
      expect(frame?.data.equals(data)).toBe(true);
    }
  });

  test("frames over the limit cannot be encoded", () => {
    const data = Buffer.alloc(MAX_DATA_BYTES + 1);
    expect(() => encodeFrame({ streamId: 1, type: 1, flags: 0, data })).toThrow(RangeError);
  });
});

describe("envelopes", () => {
  const payload = fc.oneof(fc.uint8Array({ maxLength: 100 }), fc.constant(new Uint8Array(5000).fill(7)));
  const anyText = fc.string({ unit: "grapheme", maxLength: 40 });

  test("any request decodes to what was encoded, in one piece or in parts", () => {
    const anyRequest = fc.record({
      service: anyText,
      method: anyText,
      payload,
      timeoutNano: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      metadata: fc.array(fc.tuple(anyText, anyText), { maxLength: 5 }),
    });
    fc.assert(
      fc.property(anyRequest, (request) => {
        const bytes = encodeRequest(request);
        expect(decodeRequest(bytes)).toEqual(request);
        expect(Buffer.concat(requestParts(request)).equals(bytes)).toBe(true);
      }),
    );
  });

  test("any response decodes to what was encoded", () => {
    const anyStatus = fc.record({ code: fc.integer({ min: 1, max: 2 ** 31 - 1 }), message: anyText });
    fc.assert(
      fc.property(payload, fc.option(anyStatus), (bytes, status) => {
        const response = status === null ? { payload: bytes } : { status, payload: bytes };
        expect(decodeResponse(encodeResponse(response))).toEqual(response);
      }),
    );
  });

  test("unknown fields are skipped", () => {
    const known = encodeRequest({
      service: "s",
      method: "m",
      payload: new Uint8Array(0),
      timeoutNano: 0n,
      metadata: [],
    });
    const unknown = Buffer.from("7a03616263" + "780a" + "7d01020304" + "7b7801" + "7c", "hex");
    expect(decodeRequest(Buffer.concat([unknown, known, unknown])).method).toBe("m");
  });

  test("garbage either decodes to something or throws an Error", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        for (const decode of [decodeRequest, decodeResponse]) {
          try {
            decode(bytes);
          } catch (error) {
            expect(error).toBeInstanceOf(Error);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("a request with more metadata than anyone sends is refused", () => {
    const pairs = Buffer.from("2a00".repeat(MAX_METADATA_PAIRS), "hex");
    expect(decodeRequest(pairs).metadata).toHaveLength(MAX_METADATA_PAIRS);
    expect(() => decodeRequest(Buffer.concat([pairs, Buffer.from("2a00", "hex")]))).toThrow(/metadata/);
  });
});
