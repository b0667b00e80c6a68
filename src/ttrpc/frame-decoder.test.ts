import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BufferPool } from "./buffer-pool.ts";
import { DirectReads } from "./direct-reads.ts";
import { encodeFrame, encodeHeader, type Frame, HEADER_BYTES, MAX_DATA_BYTES } from "./frame.ts";
import { FrameDecoder, LARGE_FRAME_BYTES } from "./frame-decoder.ts";
import { ManualClock } from "./test-peers.ts";

/** Around every size at which the decoder does something else. */
const EDGES: readonly number[] = [
  0,
  1,
  63,
  64,
  LARGE_FRAME_BYTES - HEADER_BYTES,
  32 * 1024,
  64 * 1024,
  128 * 1024 - HEADER_BYTES,
];
const anyLength = fc.oneof(
  fc.integer({ min: 0, max: 200 }),
  fc
    .tuple(fc.constantFrom(...EDGES), fc.integer({ min: -12, max: 12 }))
    .map(([edge, by]) => Math.max(0, edge + by)),
);
const anyFrames = fc
  .array(fc.record({ length: anyLength, fill: fc.nat(255) }), { maxLength: 6 })
  .map((specs) =>
    specs.map(({ length, fill }, index): Frame => {
      const data = Buffer.alloc(length, fill);
      if (length >= 4) data.writeUInt32BE(index, length - 4);
      return { streamId: 2 * index + 1, type: 1 + (index % 2), flags: 0, data };
    }),
  );
const anyCuts = fc.array(
  fc.oneof(
    fc.integer({ min: 1, max: 20 }),
    fc.integer({ min: 1, max: 70_000 }),
    fc.constantFrom(65_536, 32_768),
  ),
  { minLength: 1, maxLength: 6 },
);
const RUNS = { numRuns: 150 };

const bare = ({ streamId, type, flags, data }: Frame) => ({
  streamId,
  type,
  flags,
  data: data.toString("base64"),
});

/** Reads as a socket does: asks for a buffer, fills as much of it as there is, tells. */
function readDirectly(reads: DirectReads, bytes: Buffer, cuts: readonly number[]): void {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const buffer = reads.onread.buffer();
    const most = Math.min(cuts[turn % cuts.length] ?? 1, buffer.length);
    const copied = bytes.copy(buffer, 0, at, at + most);
    at += copied;
    reads.onread.callback(copied, buffer);
  }
}

describe("any chunking gives the same frames", () => {
  test("pushed, with chunks that are overwritten afterwards", () => {
    fc.assert(
      fc.property(anyFrames, anyCuts, (frames, cuts) => {
        const bytes = Buffer.concat(frames.map(encodeFrame));
        const decoder = new FrameDecoder(new BufferPool({ clock: new ManualClock() }));
        const seen: Frame[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const chunk = Buffer.from(bytes.subarray(at, at + (cuts[turn % cuts.length] ?? 1)));
          at += chunk.length;
          seen.push(...decoder.push(chunk));
          chunk.fill(0xee);
        }
        expect(seen.map(bare)).toEqual(frames.map(bare));
        expect(decoder.atBoundary).toBe(true);
      }),
      RUNS,
    );
  });

  test("read directly, by sockets that share one buffer", () => {
    fc.assert(
      fc.property(anyFrames, anyFrames, anyCuts, (left, right, cuts) => {
        const scratch = Buffer.alloc(64 * 1024);
        const all = [left, right].map((frames) => {
          const reads = new DirectReads(scratch);
          const seen: Frame[] = [];
          const decoder = new FrameDecoder(new BufferPool({ clock: new ManualClock() }));
          reads.attach({ decoder, onFrames: (some) => seen.push(...some) });
          return { frames, reads, seen, bytes: Buffer.concat(frames.map(encodeFrame)) };
        });
        // In turns, a piece of each.
        for (let at = 0; at < Math.max(...all.map(({ bytes }) => bytes.length)); at += 50_000)
          for (const { reads, bytes } of all) readDirectly(reads, bytes.subarray(at, at + 50_000), cuts);
        for (const { frames, seen } of all) expect(seen.map(bare)).toEqual(frames.map(bare));
      }),
      RUNS,
    );
  });
});

describe("memory", () => {
  test("a large frame has room for another header before its data, in one piece; a small one is its data", () => {
    const sizes = [LARGE_FRAME_BYTES - HEADER_BYTES - 1, LARGE_FRAME_BYTES - HEADER_BYTES];
    const [small, large] = sizes.flatMap((size) =>
      new FrameDecoder().push(encodeFrame({ streamId: 1, type: 1, flags: 0, data: Buffer.alloc(size, 7) })),
    );
    expect(small?.framed).toBeUndefined();
    expect(large?.framed?.length).toBe(LARGE_FRAME_BYTES);
    expect(large?.framed?.buffer).toBe(large?.data.buffer);
    expect(large?.data.byteOffset).toBe((large?.framed?.byteOffset ?? 0) + HEADER_BYTES);
  });

  test("an announcement alone takes no memory: it grows with what comes", () => {
    const pool = new BufferPool({ clock: new ManualClock() });
    let taken = 0;
    const counting = Object.assign(pool, {
      take: (bytes: number) => {
        taken += bytes;
        return Buffer.alloc(bytes);
      },
    });
    const decoder = new FrameDecoder(counting);
    decoder.push(encodeHeader({ length: MAX_DATA_BYTES, streamId: 1, type: 1, flags: 0 }));
    decoder.push(Buffer.alloc(1000));
    expect(decoder.room?.length ?? 0).toBeLessThan(65 * 1000);
    expect(taken).toBe(0);
    decoder.push(Buffer.alloc(65_000));
    expect(taken).toBe(HEADER_BYTES + MAX_DATA_BYTES);
  });

  test("what comes before there is a connection stops the reading and is not lost", () => {
    const reads = new DirectReads(Buffer.alloc(64 * 1024));
    const bytes = encodeFrame({ streamId: 1, type: 1, flags: 0, data: Buffer.from("early") });
    const buffer = reads.onread.buffer();
    bytes.copy(buffer);
    expect(reads.onread.callback(bytes.length, buffer)).toBe(false);
    buffer.fill(0);
    const seen: Frame[] = [];
    reads.attach({ decoder: new FrameDecoder(), onFrames: (frames) => seen.push(...frames) });
    reads.takeEarly();
    expect(seen.map(({ data }) => data.toString())).toEqual(["early"]);
  });
});
