import { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { BufferPool } from "./buffer-pool.ts";
import { FrameConnection } from "./connection.ts";
import { DirectReads, SCRATCH_BYTES } from "./direct-reads.ts";
import { encodeFrame, type Frame, FrameType, HEADER_BYTES } from "./frame.ts";
import { ManualClock } from "./test-peers.ts";

/** What a forwarder of frames costs, in counts that are the same on every machine. */

const MIB = 1024 * 1024;

/** The way out: notes what is written, and keeps nothing of it, as a socket. */
class CountedOut extends Duplex {
  readonly written: { readonly bytes: number; readonly memory: ArrayBufferLike }[] = [];

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push({ bytes: chunk.length, memory: chunk.buffer });
    done();
  }

  override _read(): void {
    // Nothing comes back.
  }
}

interface Forwarder {
  readonly out: CountedOut;
  /** Memory, other than the common buffer, that was read into, and how much. */
  readonly direct: Map<ArrayBufferLike, number>;
  /** One read(2) after another, each of at most so many bytes and in a callback of its own, in one turn of the event loop. */
  readonly read: (bytes: Buffer, mostPerRead: number) => Promise<void>;
}

function forwarder(): Forwarder {
  const scratch = Buffer.alloc(SCRATCH_BYTES);
  const buffers = new BufferPool({ clock: new ManualClock() });
  const reads = new DirectReads(scratch);
  const out = new CountedOut();
  const onClose = (): void => undefined;
  const right = new FrameConnection(out, { onFrame: () => undefined, onClose }, { buffers });
  let id = 1;
  const onFrame = (frame: Frame): void => {
    right.offer({ ...frame, streamId: id });
    id += 2;
  };
  const left = new CountedOut();
  const options = { buffers, reads };
  new FrameConnection(left, { onFrame, onClose }, options);
  const direct = new Map<ArrayBufferLike, number>();
  return {
    out,
    direct,
    async read(bytes, mostPerRead) {
      for (let at = 0; at < bytes.length; ) {
        const buffer = reads.onread.buffer();
        const copied = bytes.copy(buffer, 0, at, at + Math.min(mostPerRead, buffer.length));
        if (buffer !== scratch) direct.set(buffer.buffer, (direct.get(buffer.buffer) ?? 0) + copied);
        at += copied;
        reads.onread.callback(copied, buffer);
        // What Node does after each callback.
        await new Promise<void>((resolve) => process.nextTick(resolve));
      }
    },
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
const request = (bytes: number): Buffer =>
  encodeFrame({ streamId: 7, type: FrameType.Request, flags: 0, data: Buffer.alloc(bytes, 1) });

test("of a megabyte at most a fifteenth is copied on its way, it is one write, and its memory serves the next", async () => {
  const { out, direct, read } = forwarder();
  const frame = request(MIB);
  for (let count = 0; count < 20; count++) {
    await read(frame, 200_000);
    await turn();
  }
  const total = 20 * frame.length;
  const readInPlace = [...direct.values()].reduce((sum, bytes) => sum + bytes, 0);
  expect((total - readInPlace) / total).toBeLessThan(1 / 15);
  expect(out.written.map(({ bytes }) => bytes)).toEqual(Array(20).fill(MIB + HEADER_BYTES));
  for (const { memory } of out.written) expect(direct.has(memory)).toBe(true);
  expect(direct.size).toBeLessThanOrEqual(2);
});

test("a small frame is one write", async () => {
  const { out, read } = forwarder();
  await read(request(60), SCRATCH_BYTES);
  expect(out.written).toEqual([]);
  await turn();
  expect(out.written.map(({ bytes }) => bytes)).toEqual([60 + HEADER_BYTES]);
});

test.each([
  ["one read", SCRATCH_BYTES],
  ["as many reads, as of TLS records", 60 + HEADER_BYTES],
])("frames that come in one turn of the event loop, in %s, are one write", async (_, mostPerRead) => {
  const { out, read } = forwarder();
  await read(Buffer.concat(Array.from({ length: 100 }, () => request(60))), mostPerRead);
  await turn();
  expect(out.written.map(({ bytes }) => bytes)).toEqual([100 * (60 + HEADER_BYTES)]);
});
