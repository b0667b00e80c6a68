import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { OutputStream } from "./output.ts";

const text = async (read: Promise<Buffer>): Promise<string> => (await read).toString();
const settled = async (promise: Promise<unknown>): Promise<boolean> => {
  const mark = {};
  await new Promise((resolve) => setImmediate(resolve));
  return (await Promise.race([promise, Promise.resolve(mark)])) !== mark;
};

describe("an output stream", () => {
  test("pends without output, gives at most what was asked for, and nothing at the end", async () => {
    const source = new PassThrough();
    const stream = new OutputStream(source);
    const first = stream.read(3);
    expect(await settled(first)).toBe(false);
    source.write("abcdef");
    expect(await text(first)).toBe("abc");
    expect(await text(stream.read(100))).toBe("def");
    const last = stream.read(1);
    source.end();
    expect(await text(last)).toBe("");
    expect(await text(stream.read(1))).toBe("");
  });

  test("gives output that came before the end, then the end", async () => {
    const source = new PassThrough();
    const stream = new OutputStream(source);
    source.end("rest");
    expect([await text(stream.read(2)), await text(stream.read(9)), await text(stream.read(9))]).toEqual([
      "re",
      "st",
      "",
    ]);
  });

  test("serves readers in their order, the abandoned ones too", async () => {
    const source = new PassThrough();
    const stream = new OutputStream(source);
    const reads = [stream.read(10), stream.read(10)];
    source.write("one");
    expect(await text(reads[0] ?? Promise.reject(new Error("no read")))).toBe("one");
    source.write("two");
    expect(await text(reads[1] ?? Promise.reject(new Error("no read")))).toBe("two");
  });

  test("holds a bounded amount for a reader that does not come, and then goes on", async () => {
    const source = new PassThrough({ highWaterMark: 16_384 });
    const stream = new OutputStream(source);
    let written = 0;
    while (
      source.write(Buffer.alloc(16_384)) ||
      (await new Promise((resolve) => setImmediate(() => resolve(!source.writableNeedDrain))))
    ) {
      written += 16_384;
      if (written > 10_000_000) break;
    }
    expect(written).toBeLessThan(200_000);
    let seen = 0;
    const ended = (async () => {
      for (;;) {
        const piece = await stream.read(32_768);
        if (piece.length === 0) return;
        seen += piece.length;
      }
    })();
    source.end();
    await ended;
    expect(seen).toBeGreaterThanOrEqual(written);
  });

  test("that is discarded ends its pending reads", async () => {
    const stream = new OutputStream(new PassThrough());
    const read = stream.read(1);
    stream.discard();
    expect(await text(read)).toBe("");
  });
});
