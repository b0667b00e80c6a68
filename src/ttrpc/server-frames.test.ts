import { once } from "node:events";
import { duplexPair } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createClient, TtrpcClient } from "./client.ts";
import { decodeResponse, encodeRequest, encodeResponse } from "./envelope.ts";
import { encodeFrame, encodeHeader, type Frame, FrameType, MAX_DATA_BYTES } from "./frame.ts";
import { FrameDecoder } from "./frame-decoder.ts";
import { TtrpcServer } from "./server.ts";
import { BytesCodec, EchoDefinition, echoHandlers, joinedInMemory, listenUnix } from "./test-peers.ts";

const request = (method: string, value: Uint8Array = new Uint8Array(0), timeoutNano = 0n): Buffer =>
  encodeRequest({
    service: "test.Echo",
    method,
    payload: BytesCodec.encode({ value }).finish(),
    timeoutNano,
    metadata: [],
  });

const echoFrame = (streamId: number, overrides: Partial<Frame> = {}): Buffer =>
  encodeFrame({ streamId, type: FrameType.Request, flags: 0, data: request("Echo"), ...overrides });

describe("a server given frames that no good client sends", () => {
  let server: TtrpcServer;
  let answers: (count: number) => Promise<Record<number, number>>;
  let write: (...chunks: Buffer[]) => void;

  beforeEach(() => {
    const [left, right] = duplexPair();
    server = new TtrpcServer();
    server.register(EchoDefinition, echoHandlers);
    server.serveConnection(right);
    const decoder = new FrameDecoder();
    const seen: Frame[] = [];
    left.on("data", (chunk: Buffer) => {
      seen.push(...decoder.push(chunk));
      left.emit("answered");
    });
    write = (...chunks) => left.write(Buffer.concat(chunks));
    /** The status code per stream, once `count` answers came. */
    answers = async (count) => {
      while (seen.length < count) await once(left, "answered");
      expect(seen.every(({ type, flags }) => type === FrameType.Response && flags === 0)).toBe(true);
      return Object.fromEntries(
        seen.splice(0).map(({ streamId, data }) => [streamId, decodeResponse(data).status?.code ?? 0]),
      );
    };
  });

  afterEach(() => server[Symbol.asyncDispose]());

  test("answers an even stream id with InvalidArgument, 0 included", async () => {
    write(echoFrame(2), echoFrame(0), echoFrame(1));
    expect(await answers(3)).toEqual({ 2: 3, 0: 3, 1: 0 });
  });

  test("answers a stream id that was used before with InvalidArgument", async () => {
    write(echoFrame(5), echoFrame(7));
    expect(await answers(2)).toEqual({ 5: 0, 7: 0 });
    write(echoFrame(7));
    expect(await answers(1)).toEqual({ 7: 3 });
    write(echoFrame(5));
    expect(await answers(1)).toEqual({ 5: 3 });
  });

  test("takes a stream id that another one overtook, as the Rust client's do", async () => {
    write(echoFrame(5), echoFrame(3), echoFrame(1));
    expect(await answers(3)).toEqual({ 5: 0, 3: 0, 1: 0 });
  });

  test("takes stream ids to the very last", async () => {
    write(echoFrame(2 ** 32 - 1));
    expect(await answers(1)).toEqual({ [2 ** 32 - 1]: 0 });
  });

  test("answers data frames with InvalidArgument", async () => {
    write(echoFrame(1, { type: FrameType.Data }), echoFrame(3));
    expect(await answers(2)).toEqual({ 1: 3, 3: 0 });
  });

  test("ignores frames of other types", async () => {
    const others = [0, 2, 4, 255].map((type) => echoFrame(1, { type }));
    write(
      ...others,
      encodeHeader({ length: 2 ** 24, streamId: 9, type: 77, flags: 0 }),
      Buffer.alloc(2 ** 24),
    );
    write(echoFrame(1));
    expect(await answers(1)).toEqual({ 1: 0 });
  });

  test.each([1, 2, 3])("answers a streaming request (flags %d) with Unimplemented", async (flags) => {
    write(echoFrame(1, { flags }), echoFrame(3, { flags: 4 }));
    expect(await answers(2)).toEqual({ 1: 12, 3: 0 });
  });

  test("answers an oversized request with ResourceExhausted on its stream and serves on", async () => {
    const length = MAX_DATA_BYTES + 1;
    write(encodeHeader({ length, streamId: 1, type: 1, flags: 0 }));
    expect(await answers(1)).toEqual({ 1: 8 });
    write(Buffer.alloc(length), echoFrame(3));
    expect(await answers(1)).toEqual({ 3: 0 });
  });

  test("answers an envelope that is not protobuf with InvalidArgument", async () => {
    write(echoFrame(1, { data: Buffer.from("ffffffffff", "hex") }), echoFrame(3));
    expect(await answers(2)).toEqual({ 1: 3, 3: 0 });
  });

  test("answers an empty request with Unimplemented", async () => {
    write(echoFrame(1, { data: Buffer.alloc(0) }));
    expect(await answers(1)).toEqual({ 1: 12 });
  });

  test("answers a call whose time is over already with DeadlineExceeded", async () => {
    write(echoFrame(1, { data: request("Wait", undefined, -1n) }));
    expect(await answers(1)).toEqual({ 1: 4 });
  });
});

describe("the bounds of a connection", () => {
  test("at the bound of running calls the connection is not read, and goes on when one ends", async () => {
    const running: (() => void)[] = [];
    const server = new TtrpcServer({ maxCallsInFlight: 3 });
    const started = Promise.withResolvers<void>();
    server.registerRaw("test.Raw", {
      Call: (payload) => {
        if (running.length === 2) started.resolve();
        return new Promise((resolve) => running.push(() => resolve(payload)));
      },
    });
    const [left, right] = duplexPair();
    server.serveConnection(right);
    await using client = new TtrpcClient(left);
    const calls = Array.from({ length: 10 }, () => client.call("test.Raw", "Call", new Uint8Array(0)));
    await started.promise;
    expect(server.callsInFlight).toBe(3);
    for (let ended = 0; ended < 10; ended++) {
      await calls[ended - 3];
      while (running.length === ended) await new Promise((resolve) => setImmediate(resolve));
      expect(server.callsInFlight).toBeLessThanOrEqual(3);
      running[ended]?.();
    }
    await Promise.all(calls);
  });

  test("request bytes of running calls are bounded too", async () => {
    await using joined = joinedInMemory({ server: { maxRequestBytes: 1_000_000 } });
    const echo = createClient(EchoDefinition, joined.client);
    const calls = Array.from({ length: 20 }, () => echo.wait({ value: new Uint8Array(400_000) }));
    for (const call of calls) call.catch(() => undefined);
    while (joined.server.callsInFlight < 3) await new Promise((resolve) => setImmediate(resolve));
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(joined.server.callsInFlight).toBe(3);
  });

  test("a client that closes while the connection is not read has its calls aborted all the same", async () => {
    await using joined = joinedInMemory({ server: { maxCallsInFlight: 1 } });
    const echo = createClient(EchoDefinition, joined.client);
    const calls = [1, 2, 3].map(() => echo.wait({ value: new Uint8Array(0) }));
    while (joined.server.callsInFlight < 1) await new Promise((resolve) => setImmediate(resolve));
    joined.client.close();
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: 14 });
    while (joined.server.connectionCount > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(joined.server.callsInFlight).toBe(0);
  });

  test("a peer that never reads its answers stops being served; memory stays bounded", async () => {
    await using unix = await listenUnix();
    let served = 0;
    const answer = Buffer.alloc(256 * 1024);
    const server = new TtrpcServer();
    server.registerRaw("test.Echo", {
      Echo: async () => {
        served++;
        return answer;
      },
    });
    server.serveListener(unix.listener);
    const socket = await unix.dial();
    socket.pause();
    const count = 20_000;
    for (let i = 0; i < count; i++) socket.write(echoFrame(2 * i + 1));
    let last = -1;
    while (last !== served || served === 0) {
      last = served;
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(served).toBeLessThan(300);
    socket.destroy();
    await server[Symbol.asyncDispose]();
  });
});

describe("a client given frames that no good server sends", () => {
  const answered = async (...chunks: (Buffer | ((streamId: number) => Buffer))[]) => {
    const [left, right] = duplexPair();
    await using client = new TtrpcClient(left);
    const outcome = client.call("s", "m", new Uint8Array(0)).then(
      () => 0,
      (error: unknown) => error,
    );
    await once(right, "readable");
    for (const chunk of chunks) right.write(typeof chunk === "function" ? chunk(1) : chunk);
    return await outcome;
  };
  const response = (overrides: Partial<Frame> = {}): Buffer =>
    encodeFrame({
      streamId: 1,
      type: FrameType.Response,
      flags: 0,
      data: encodeResponse({ payload: new Uint8Array(1) }),
      ...overrides,
    });

  test("fails the call of an oversized answer with ResourceExhausted", async () => {
    const length = 2 ** 32 - 1;
    const outcome = await answered(encodeHeader({ length, streamId: 1, type: 2, flags: 0 }));
    expect(outcome).toMatchObject({ code: 8 });
  });

  test("fails the call of a malformed answer with Internal", async () => {
    expect(await answered(response({ data: Buffer.from("ff", "hex") }))).toMatchObject({ code: 13 });
  });

  test("fails the call that is answered by a stream with Internal", async () => {
    expect(await answered(response({ type: FrameType.Data }))).toMatchObject({ code: 13 });
  });

  test("ignores answers to unknown streams, other types and second answers", async () => {
    const ignored = [response({ streamId: 99 }), response({ type: 1 }), response({ type: 9 })];
    expect(await answered(...ignored, response(), response())).toBe(0);
  });

  test("keeps a status code that it does not know", async () => {
    const data = encodeResponse({ status: { code: 4711, message: "odd" }, payload: new Uint8Array(0) });
    expect(await answered(response({ data }))).toMatchObject({ code: 4711, message: "odd" });
  });
});
