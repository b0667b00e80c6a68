import { once } from "node:events";
import { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { type CloseReason, FrameConnection } from "./connection.ts";
import { DirectReads, SCRATCH_BYTES } from "./direct-reads.ts";
import { encodeFrame, type Frame } from "./frame.ts";
import { FrameDecoder } from "./frame-decoder.ts";
import { listenUnix } from "./test-peers.ts";

// What comes together with something else, in one turn of the event loop.

const frame = (streamId: number, data = ""): Frame => ({
  streamId,
  type: 1,
  flags: 0,
  data: Buffer.from(data),
});
const bytesOf = (...ids: number[]): Buffer => Buffer.concat(ids.map((id) => encodeFrame(frame(id))));
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A connection over a unix socket, whose other end is a plain socket. */
async function joined(
  stack: AsyncDisposableStack,
  onFrame: (frame: Frame, connection: FrameConnection) => void | Promise<void>,
) {
  const unix = stack.use(await listenUnix());
  const accepted = once(unix.listener, "connection");
  const stream = await unix.dial();
  const closed = Promise.withResolvers<CloseReason>();
  const seen: number[] = [];
  const connection: FrameConnection = new FrameConnection(stream, {
    onFrame(got) {
      seen.push(got.streamId);
      return onFrame(got, connection);
    },
    onClose: closed.resolve,
  });
  stack.defer(() => connection.destroy());
  const [peer] = await accepted;
  return { connection, stream, peer, seen, closed: closed.promise };
}

test("a consumer that ends the connection gets nothing more, of the same chunk either", async () => {
  await using stack = new AsyncDisposableStack();
  const { peer, seen, closed } = await joined(stack, (_, connection) => void connection.end());
  peer.resume();
  peer.write(bytesOf(1, 3));
  expect((await closed).by).toBe("us");
  expect(seen).toEqual([1]);
});

test.each([
  ["nothing is sent", false],
  ["an answer is accepted in the turn in which it does", true],
])("a peer that ends costs a consumer that lags nothing of what came before, when %s", async (_, sends) => {
  await using stack = new AsyncDisposableStack();
  const lagging = Promise.withResolvers<void>();
  const { connection, stream, peer, seen, closed } = await joined(stack, ({ streamId }) =>
    streamId === 1 ? lagging.promise : undefined,
  );
  stream.prependOnceListener("end", () => {
    if (sends) void connection.send(frame(1, "answer"));
  });
  stream.once("close", () => lagging.resolve());
  peer.end(bytesOf(1, 3));
  expect(await closed).toMatchObject({ by: "peer" });
  expect(seen).toEqual([1, 3]);
});

test("what was accepted before the connection is closed by us gets to a peer that reads", async () => {
  await using stack = new AsyncDisposableStack();
  const { connection, peer } = await joined(stack, () => undefined);
  const decoder = new FrameDecoder();
  const got: Frame[] = [];
  peer.on("data", (chunk: Buffer) => got.push(...decoder.push(chunk)));
  await connection.send(frame(1, "answer"));
  connection.destroy();
  await once(peer, "end");
  expect(got.map(({ streamId }) => streamId)).toEqual([1]);
});

test("a frame that waits when a write fails was not sent, and its sender is told so", async () => {
  let fail: (error: Error) => void = () => undefined;
  const stream = new Duplex({
    read: () => undefined,
    write(_chunk, _encoding, callback) {
      fail = callback;
    },
  });
  const connection = new FrameConnection(
    stream,
    { onFrame: () => undefined, onClose: () => undefined },
    { maxQueuedBytes: 1 },
  );
  const first = connection.send(frame(1, "x".repeat(20_000)));
  const waits = connection.send(frame(3, "x"));
  await first;
  fail(new Error("write EPIPE"));
  await expect(waits).rejects.toMatchObject({ code: 14 });
});

test("what a peer says before anybody listens waits until whoever made the connection has it", async () => {
  const reads = new DirectReads(Buffer.alloc(SCRATCH_BYTES));
  const early = bytesOf(1, 3);
  early.copy(reads.onread.buffer());
  expect(reads.onread.callback(early.length, reads.onread.buffer())).toBe(false);
  const seen: (number | undefined)[] = [];
  const made: { connection?: FrameConnection } = {};
  made.connection = new FrameConnection(
    new Duplex({ read: () => undefined, write: (_chunk, _encoding, callback) => callback() }),
    {
      onFrame: ({ streamId }) => void seen.push(made.connection === undefined ? undefined : streamId),
      onClose: () => undefined,
    },
    { reads },
  );
  await turn();
  expect(seen).toEqual([1, 3]);
  made.connection.destroy();
});
