import { once } from "node:events";
import { type Duplex, duplexPair } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CloseReason, FrameConnection, type FrameConnectionOptions, LINGER_MS } from "./connection.ts";
import { encodeFrame, encodeHeader, type Frame, MAX_DATA_BYTES } from "./frame.ts";
import { FrameDecoder } from "./frame-decoder.ts";
import { MAX_QUEUED_BYTES } from "./frame-writer.ts";
import { listenUnix, ManualClock } from "./test-peers.ts";

const frame = (streamId: number, data: Buffer | string = ""): Frame => ({
  streamId,
  type: 1,
  flags: 0,
  data: Buffer.from(data),
});

interface Watched {
  readonly connection: FrameConnection;
  readonly frames: Frame[];
  readonly closed: Promise<CloseReason>;
}

/** A connection that collects its frames. */
function watch(
  stream: Duplex,
  options: FrameConnectionOptions & {
    onFrame?: (frame: Frame) => void | Promise<void>;
    onPeerEnd?: () => void;
  } = {},
): Watched {
  const frames: Frame[] = [];
  const closed = Promise.withResolvers<CloseReason>();
  const connection = new FrameConnection(
    stream,
    {
      onFrame(seen) {
        frames.push(seen);
        return options.onFrame?.(seen);
      },
      onClose: closed.resolve,
      ...(options.onPeerEnd === undefined ? {} : { onPeerEnd: options.onPeerEnd }),
    },
    options,
  );
  return { connection, frames, closed: closed.promise };
}

/** A connection over a real socket whose other end is read by nobody. */
async function unreadPeer(stack: AsyncDisposableStack, options: FrameConnectionOptions = {}) {
  const unix = stack.use(await listenUnix());
  const accepted = once(unix.listener, "connection");
  const watched = watch(await unix.dial(), options);
  stack.defer(() => watched.connection.destroy());
  const [peer] = await accepted;
  return { ...watched, peer };
}

describe("sending", () => {
  test("a peer that never reads makes senders wait under the bound, and closing fails them", async () => {
    await using stack = new AsyncDisposableStack();
    const { connection, closed } = await unreadPeer(stack);
    const data = Buffer.alloc(1024 * 1024);
    let accepted = 0;
    const sends: Promise<void>[] = [];
    while (connection.hasRoom) {
      sends.push(connection.send(frame(1, data)).then(() => void accepted++));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(connection.queuedBytes).toBeLessThan(MAX_QUEUED_BYTES + MAX_DATA_BYTES);
    const late = connection.send(frame(3));
    connection.destroy();
    await expect(late).rejects.toMatchObject({ code: 14 });
    await Promise.all(sends);
    expect((await closed).by).toBe("us");
    await expect(connection.send(frame(5))).rejects.toMatchObject({ code: 14, message: "connection closed" });
  });

  test("a send that was given up while it waited is not sent; those after it are", async () => {
    await using stack = new AsyncDisposableStack();
    const { connection, peer } = await unreadPeer(stack, { maxQueuedBytes: 1 });
    const first = connection.send(frame(1, Buffer.alloc(MAX_DATA_BYTES)));
    const caller = new AbortController();
    const given = connection.send(frame(3), caller.signal);
    const kept = connection.send(frame(5));
    caller.abort();
    await expect(given).rejects.toMatchObject({ code: 1 });
    await expect(connection.send(frame(7), caller.signal)).rejects.toMatchObject({ code: 1 });
    await first;
    const seen = watch(peer);
    await kept;
    await connection.end();
    await seen.closed;
    expect(seen.frames.map(({ streamId }) => streamId)).toEqual([1, 5]);
  });

  test("data over the limit is refused and the connection lives", async () => {
    const [left, right] = duplexPair();
    const sender = watch(left);
    const receiver = watch(right);
    const large = sender.connection.send(frame(1, Buffer.alloc(MAX_DATA_BYTES + 1)));
    await expect(large).rejects.toMatchObject({ code: 8 });
    await sender.connection.send(frame(3));
    await sender.connection.end();
    await receiver.closed;
    expect(receiver.frames.map(({ streamId }) => streamId)).toEqual([3]);
  });

  test("frames of any sizes arrive whole and in order through any bound on the queue", async () => {
    const anySizes = fc.array(fc.oneof(fc.integer({ min: 0, max: 3000 }), fc.constant(100_000)), {
      maxLength: 20,
    });
    await fc.assert(
      fc.asyncProperty(anySizes, fc.integer({ min: 1, max: 50_000 }), async (sizes, maxQueuedBytes) => {
        const [left, right] = duplexPair();
        const sender = watch(left, { maxQueuedBytes });
        const receiver = watch(right, { onFrame: () => Promise.resolve() });
        for (const [i, size] of sizes.entries())
          void sender.connection.send(frame(2 * i + 1, Buffer.alloc(size, i)));
        await sender.connection.end();
        await receiver.closed;
        expect(receiver.frames.map(({ data }) => data.length)).toEqual(sizes);
        expect(receiver.frames.every(({ data }, i) => data.every((byte) => byte === i))).toBe(true);
      }),
    );
  });
});

describe("receiving", () => {
  test("a consumer that lags stops the sender, then gets every frame once and in order", async () => {
    await using stack = new AsyncDisposableStack();
    let consume: () => void = () => undefined;
    const unix = stack.use(await listenUnix());
    const accepted = once(unix.listener, "connection");
    const sender = watch(await unix.dial(), { maxQueuedBytes: 1 });
    const [peer] = await accepted;
    const slow = new Promise<void>((resolve) => (consume = resolve));
    const receiver = watch(peer, { onFrame: ({ streamId }) => (streamId === 1 ? slow : undefined) });
    const data = Buffer.alloc(64 * 1024);
    let sent = 0;
    const sending = (async () => {
      for (let i = 0; i < 200; i++) {
        await sender.connection.send(frame(2 * i + 1, data));
        sent++;
      }
      await sender.connection.end();
    })();
    // Read ahead, kernel buffers and one frame: the sender stands still long before the 200th frame.
    while (!peer.isPaused()) await new Promise((resolve) => setImmediate(resolve));
    expect(sent).toBeLessThan(100);
    expect(receiver.frames).toHaveLength(1);
    consume();
    await sending;
    await receiver.closed;
    expect(receiver.frames.map(({ streamId }) => streamId)).toEqual(
      Array.from({ length: 200 }, (_, i) => 2 * i + 1),
    );
  });

  test("a consumer that lags hears at once that the peer has closed, and still gets what came before", async () => {
    const [left, right] = duplexPair();
    let consume: () => void = () => undefined;
    const slow = new Promise<void>((resolve) => (consume = resolve));
    const peerEnded = Promise.withResolvers<void>();
    const receiver = watch(right, {
      onFrame: ({ streamId }) => (streamId === 1 ? slow : undefined),
      onPeerEnd: peerEnded.resolve,
    });
    left.write(encodeFrame(frame(1)));
    left.end(encodeFrame(frame(3)));
    await peerEnded.promise;
    expect(receiver.frames).toHaveLength(1);
    expect(receiver.connection.closeReason).toBeUndefined();
    await expect(receiver.connection.send(frame(1))).rejects.toMatchObject({ code: 14 });
    consume();
    expect(await receiver.closed).toMatchObject({ by: "peer", error: { code: 14 } });
    expect(receiver.frames).toHaveLength(2);
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("bad frame");
      },
    ],
    ["rejects", () => Promise.reject(new Error("bad frame"))],
  ])("a consumer that %s ends the connection, which says why", async (_, onFrame) => {
    const [left, right] = duplexPair();
    const receiver = watch(right, { onFrame });
    left.write(Buffer.concat([encodeFrame(frame(1)), encodeFrame(frame(3))]));
    expect(await receiver.closed).toMatchObject({ by: "failure", error: { message: /bad frame/ } });
    expect(receiver.frames).toHaveLength(1);
  });

  test("a stream that ends within a frame is a failure", async () => {
    const [left, right] = duplexPair();
    const receiver = watch(right);
    left.end(encodeHeader({ length: 5, streamId: 1, type: 1, flags: 0 }));
    expect(await receiver.closed).toMatchObject({ by: "failure", error: { message: /middle of a frame/ } });
  });

  test("a frame that does not get complete in time ends the connection, whatever trickles in", async () => {
    const clock = new ManualClock();
    const [left, right] = duplexPair();
    const receiver = watch(right, { clock, frameTimeoutMs: 1000 });
    const bytes = encodeFrame(frame(1, "data"));
    left.write(bytes.subarray(0, 3));
    while (clock.timerCount === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(900);
    // The first is complete, in time; of the second no more will come.
    left.write(Buffer.concat([bytes.subarray(3), bytes.subarray(0, 3)]));
    while (receiver.frames.length === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(100);
    expect(receiver.connection.closeReason).toBeUndefined();
    clock.advance(1000);
    expect(await receiver.closed).toMatchObject({
      by: "failure",
      error: { message: /not complete within 1000 ms/ },
    });
  });
});

describe("closing", () => {
  test("end() writes all that was accepted or waits, then closes; later sends are refused", async () => {
    await using stack = new AsyncDisposableStack();
    const { connection, peer, closed } = await unreadPeer(stack, { maxQueuedBytes: 1 });
    const sends = [1, 3, 5].map((id) => connection.send(frame(id, Buffer.alloc(500_000))));
    const ended = connection.end();
    await expect(connection.send(frame(7))).rejects.toMatchObject({ code: 14, message: /closing/ });
    const seen = watch(peer);
    await Promise.all([...sends, ended]);
    expect(await seen.closed).toMatchObject({ by: "peer" });
    expect(seen.frames).toHaveLength(3);
    expect((await closed).by).toBe("us");
    await connection.end();
  });

  test("end() gives up on a peer that does not read when its signal aborts", async () => {
    await using stack = new AsyncDisposableStack();
    const { connection, closed } = await unreadPeer(stack);
    void connection.send(frame(1, Buffer.alloc(MAX_DATA_BYTES)));
    const patience = new AbortController();
    const ended = connection.end(patience.signal);
    patience.abort();
    await ended;
    expect((await closed).by).toBe("us");
  });

  test("end() does not wait for ever for a peer that has got everything and stays", async () => {
    await using stack = new AsyncDisposableStack();
    const clock = new ManualClock();
    const unix = stack.use(await listenUnix());
    unix.listener.on("connection", (socket) => {
      socket.allowHalfOpen = true;
      socket.resume();
    });
    const { connection } = watch(await unix.dial(), { clock });
    const ended = connection.end();
    while (clock.timerCount === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(LINGER_MS);
    await ended;
  });

  test("a connection over a stream that is closed already says so", async () => {
    const [left] = duplexPair();
    left.destroy();
    const { connection, closed } = watch(left);
    expect((await closed).by).toBe("failure");
    await expect(connection.send(frame(1))).rejects.toMatchObject({ code: 14 });
    await expect(connection.room()).rejects.toMatchObject({ code: 14 });
  });

  test("an error of the stream reaches the consumer with its text", async () => {
    const [left, right] = duplexPair();
    right.resume();
    const { closed } = watch(left);
    left.destroy(new Error("read ECONNRESET"));
    expect(await closed).toMatchObject({ by: "failure", error: { message: /ECONNRESET/ } });
  });
});

test("frames cross a forwarder of two connections unchanged, with back-pressure end to end", async () => {
  const [shim, proxyLeft] = duplexPair();
  const [proxyRight, agent] = duplexPair();
  const right = watch(proxyRight);
  const left = watch(proxyLeft, { onFrame: (seen) => right.connection.send(seen) });
  const bytes = Buffer.concat(
    Array.from({ length: 50 }, (_, i) => encodeFrame(frame(i, Buffer.alloc(i * 100, i)))),
  );
  const decoder = new FrameDecoder();
  let received = 0;
  agent.on("data", (chunk: Buffer) => {
    received += decoder.push(chunk).length;
    if (received === 50) agent.destroy();
  });
  shim.write(bytes);
  await right.closed;
  expect(received).toBe(50);
  left.connection.destroy();
  await left.closed;
});
