import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { createClient, TtrpcClient } from "./client.ts";
import { MAX_DATA_BYTES } from "./frame.ts";
import { type RawMethod, TtrpcServer } from "./server.ts";
import type { CallContext } from "./server-call.ts";
import { EchoDefinition, echoHandlers, joinedInMemory, listenUnix, ManualClock } from "./test-peers.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const none = new Uint8Array(0);

/** An in-memory pair whose server has one raw method besides the echo service. */
function withMethod(method: RawMethod, options: Parameters<typeof joinedInMemory>[0] = {}) {
  const joined = joinedInMemory(options);
  joined.server.registerRaw("test.Raw", { Call: method });
  return joined;
}

describe("a unary call", () => {
  test("carries the request there and the response back", async () => {
    await using joined = joinedInMemory();
    const echo = createClient(EchoDefinition, joined.client);
    expect(await echo.echo({ value: bytes("hello") })).toEqual({ value: bytes("hello") });
    expect(joined.client.callsInFlight).toBe(0);
  });

  test("shows the handler metadata in order, the remaining time and its connection", async () => {
    const clock = new ManualClock();
    let seen: CallContext | undefined;
    await using joined = withMethod(
      async (payload, context) => {
        seen = context;
        return payload;
      },
      { server: { clock }, client: { clock } },
    );
    const metadata = [
      ["containerd-namespace-ttrpc", "k8s.io"],
      ["k", "1"],
      ["k", "2"],
    ] as const;
    await joined.client.call("test.Raw", "Call", none, { metadata, timeoutMs: 1500.25 });
    expect(seen?.metadata).toEqual(metadata);
    expect(seen?.remainingMs()).toBe(1500.25);
    clock.advance(1000);
    expect(seen?.remainingMs()).toBe(500.25);
    expect(seen?.connection.id).toBe(1);
    expect(seen?.connection.closed.aborted).toBe(false);
    expect(clock.timerCount).toBe(0);
  });

  test.each([
    [Object.assign(new Error("no such sandbox"), { code: 5 }), 5, "no such sandbox"],
    [new Error("boom"), 2, "boom"],
    [Object.assign(new Error("file"), { code: "ENOENT" }), 2, "file"],
    [Object.assign(new Error("out of range"), { code: 17 }), 2, "out of range"],
    [Object.assign(new Error("OK is no failure"), { code: 0 }), 2, "OK is no failure"],
    [new DOMException("gave up", "AbortError"), 1, "gave up"],
    [new DOMException("too late", "TimeoutError"), 4, "too late"],
    [new DOMException("other", "NotFoundError"), 2, "other"],
    ["a string", 2, "a string"],
  ])("that fails with %s is answered with its status", async (thrown, code, message) => {
    await using joined = withMethod(() => Promise.reject(thrown));
    await expect(joined.client.call("test.Raw", "Call", none)).rejects.toMatchObject({ code, message });
  });

  test("whose handler throws before its first await is answered all the same", async () => {
    await using joined = withMethod(() => {
      throw new Error("at once");
    });
    await expect(joined.client.call("test.Raw", "Call", none)).rejects.toMatchObject({ code: 2 });
  });

  test("of an unknown service or method is answered Unimplemented, naming it", async () => {
    await using joined = joinedInMemory();
    const unknownService = joined.client.call("no.Such", "Echo", none);
    await expect(unknownService).rejects.toMatchObject({ code: 12, message: /service no\.Such/ });
    const unknownMethod = joined.client.call("test.Echo", "toString", none);
    await expect(unknownMethod).rejects.toMatchObject({ code: 12, message: /test\.Echo\/toString/ });
  });

  test("with a request that is not protobuf is answered InvalidArgument", async () => {
    await using joined = joinedInMemory();
    const answer = joined.client.call("test.Echo", "Echo", Uint8Array.of(0x0a, 0xff));
    await expect(answer).rejects.toMatchObject({ code: 3, message: /Echo request/ });
  });

  test("with a response that is not protobuf fails with Internal, and the next call works", async () => {
    await using joined = joinedInMemory();
    joined.server.registerRaw("test.Bad", { Echo: async () => Uint8Array.of(0x0a, 0xff) });
    const bad = createClient({ ...EchoDefinition, fullName: "test.Bad" }, joined.client);
    await expect(bad.echo({ value: none })).rejects.toMatchObject({ code: 13, message: /Echo response/ });
    await createClient(EchoDefinition, joined.client).echo({ value: none });
  });

  test("with a status text of megabytes is answered with the beginning of it", async () => {
    await using joined = withMethod(() => Promise.reject(new Error("x".repeat(5_000_000))));
    await expect(joined.client.call("test.Raw", "Call", none)).rejects.toMatchObject({
      code: 2,
      message: /^x+$/,
    });
  });
});

describe("the size limit", () => {
  test("lets a message of exactly the limit through and fails one byte more on the sender's side", async () => {
    await using joined = withMethod(async (payload) => Uint8Array.of(payload.length & 0xff));
    // service (2 + 8) + method (2 + 4) + payload (1 + 4 + n)
    const most = MAX_DATA_BYTES - 21;
    expect(await joined.client.call("test.Raw", "Call", new Uint8Array(most))).toHaveLength(1);
    const tooLarge = joined.client.call("test.Raw", "Call", new Uint8Array(most + 1));
    await expect(tooLarge).rejects.toMatchObject({ code: 8 });
    expect(await joined.client.call("test.Raw", "Call", none)).toHaveLength(1);
  });

  test("turns a response over it into ResourceExhausted, and the connection lives", async () => {
    await using joined = withMethod(
      async (payload) => new Uint8Array(payload.length === 0 ? 8 : MAX_DATA_BYTES),
    );
    await expect(joined.client.call("test.Raw", "Call", bytes("big"))).rejects.toMatchObject({ code: 8 });
    expect(await joined.client.call("test.Raw", "Call", none)).toHaveLength(8);
  });
});

describe("a deadline", () => {
  test("is enforced by the client, and the late answer does no harm", async () => {
    const clock = new ManualClock();
    let answer: (payload: Uint8Array) => void = () => undefined;
    const called = Promise.withResolvers<void>();
    await using joined = withMethod(
      () => {
        called.resolve();
        return new Promise((resolve) => (answer = resolve));
      },
      { client: { clock } },
    );
    const call = joined.client.call("test.Raw", "Call", none, { timeoutMs: 1000 });
    await called.promise;
    clock.advance(1000);
    await expect(call).rejects.toMatchObject({ code: 4, message: /test\.Raw\/Call/ });
    answer(none);
    await createClient(EchoDefinition, joined.client).echo({ value: none });
  });

  test("is enforced by the server: it answers and aborts the handler, whose result is dropped", async () => {
    const clock = new ManualClock();
    const called = Promise.withResolvers<CallContext>();
    const ended: number[] = [];
    await using joined = withMethod(
      (payload, context) => {
        called.resolve(context);
        return new Promise((resolve) => context.signal.addEventListener("abort", () => resolve(payload)));
      },
      { server: { clock, onCallEnded: (call) => ended.push(call.code) } },
    );
    const call = joined.client.call("test.Raw", "Call", none, { timeoutMs: 60_000 });
    const { signal } = await called.promise;
    clock.advance(60_000);
    expect(signal.reason).toMatchObject({ code: 4 });
    await expect(call).rejects.toMatchObject({ code: 4, message: "deadline exceeded" });
    await createClient(EchoDefinition, joined.client).echo({ value: none });
    expect(ended).toEqual([4, 0]);
  });

  test("further away than a timer reaches does not fire early", async () => {
    const clock = new ManualClock();
    await using joined = joinedInMemory({ client: { clock } });
    const call = createClient(EchoDefinition, joined.client).wait({ value: none }, { timeoutMs: 2 ** 33 });
    clock.advance(2 ** 33 - 1);
    expect(joined.client.callsInFlight).toBe(1);
    clock.advance(1);
    await expect(call).rejects.toMatchObject({ code: 4 });
  });

  test.each([0, -5, Number.NaN])("of %d ms is over before anything is sent", async (timeoutMs) => {
    await using joined = joinedInMemory();
    const call = joined.client.call("test.Echo", "Echo", none, { timeoutMs });
    await expect(call).rejects.toMatchObject({ code: 4 });
  });
});

describe("giving up and closing", () => {
  test("an abort fails the call with Cancelled; the server's answer is dropped", async () => {
    await using joined = joinedInMemory();
    const caller = new AbortController();
    const echo = createClient(EchoDefinition, joined.client);
    const call = echo.wait({ value: none }, { signal: caller.signal });
    caller.abort(new Error("enough"));
    await expect(call).rejects.toMatchObject({ code: 1 });
    await expect(echo.echo({ value: none }, { signal: caller.signal })).rejects.toMatchObject({ code: 1 });
    const late = echo.echo(
      { value: none },
      { signal: AbortSignal.abort(new DOMException("", "TimeoutError")) },
    );
    await expect(late).rejects.toMatchObject({ code: 4 });
    await echo.echo({ value: none });
  });

  test("a connection closed by the client aborts the handlers and fails all pending calls", async () => {
    const called = Promise.withResolvers<CallContext>();
    await using joined = withMethod((_, context) => {
      called.resolve(context);
      return new Promise(() => undefined);
    });
    const calls = [1, 2, 3].map(() => joined.client.call("test.Raw", "Call", none));
    const { signal, connection } = await called.promise;
    const aborted = once(signal, "abort");
    joined.client.close();
    for (const call of calls) {
      await expect(call).rejects.toMatchObject({ code: 14, message: /connection closed/ });
    }
    await aborted;
    expect(signal.reason).toMatchObject({ code: 1 });
    expect(connection.closed.aborted).toBe(true);
    const later = joined.client.call("test.Raw", "Call", none);
    await expect(later).rejects.toMatchObject({ code: 14, message: /connection closed/ });
  });

  test("a server that closes abruptly fails pending calls and answers none", async () => {
    await using joined = joinedInMemory();
    const call = createClient(EchoDefinition, joined.client).wait({ value: none });
    await createClient(EchoDefinition, joined.client).echo({ value: none });
    joined.server.close();
    await expect(call).rejects.toMatchObject({ code: 14 });
    expect((await joined.client.closed).by).toBe("peer");
    expect(joined.server.connectionCount).toBe(0);
  });

  test("a graceful shutdown refuses new calls, answers the running ones, then closes", async () => {
    let finish: (payload: Uint8Array) => void = () => undefined;
    const called = Promise.withResolvers<void>();
    await using joined = withMethod(() => {
      called.resolve();
      return new Promise((resolve) => (finish = resolve));
    });
    const running = joined.client.call("test.Raw", "Call", none);
    await called.promise;
    const shutdown = joined.server.shutdown();
    const refused = joined.client.call("test.Raw", "Call", none);
    await expect(refused).rejects.toMatchObject({ code: 14, message: /shutting down/ });
    finish(bytes("done"));
    expect(Buffer.from(await running).toString()).toBe("done");
    await shutdown;
    await joined.client.closed;
    expect(joined.server.connectionCount).toBe(0);
  });

  test("a shutdown whose patience ends closes the rest at once", async () => {
    await using joined = joinedInMemory();
    const echo = createClient(EchoDefinition, joined.client);
    const pending = echo.wait({ value: none });
    await echo.echo({ value: none });
    const patience = new AbortController();
    const shutdown = joined.server.shutdown(patience.signal);
    patience.abort();
    await shutdown;
    await expect(pending).rejects.toMatchObject({ code: 14 });
  });

  test("a service cannot be registered twice", () => {
    const server = new TtrpcServer();
    server.register(EchoDefinition, echoHandlers);
    expect(() => server.register(EchoDefinition, echoHandlers)).toThrow(/test\.Echo/);
  });
});

describe("over a unix socket", () => {
  test("thousands of calls are in flight at once and each gets its own answer, in any order", async () => {
    const waiting: (() => void)[] = [];
    const server = new TtrpcServer();
    server.registerRaw("test.Raw", {
      Call: (payload) => {
        const copy = Buffer.from(payload);
        return new Promise((resolve) => waiting.push(() => resolve(copy)));
      },
    });
    server.register(EchoDefinition, echoHandlers);
    await using unix = await listenUnix();
    server.serveListener(unix.listener);
    await using client = new TtrpcClient(await unix.dial());
    const calls = Array.from({ length: 10_000 }, (_, i) =>
      client.call("test.Raw", "Call", bytes(`call ${i}`)),
    );
    await createClient(EchoDefinition, client).echo({ value: none }); // in order, so all the others are there
    expect(server.callsInFlight).toBe(10_000);
    expect(client.callsInFlight).toBe(10_000);
    for (const answer of waiting.reverse()) answer();
    const answers = await Promise.all(calls);
    expect(answers.every((answer, i) => Buffer.from(answer).toString() === `call ${i}`)).toBe(true);
    await server[Symbol.asyncDispose]();
  });

  test("many connections are served at once, and the server knows when each has gone", async () => {
    const server = new TtrpcServer();
    server.register(EchoDefinition, echoHandlers);
    await using unix = await listenUnix();
    const stop = server.serveListener(unix.listener);
    const clients = await Promise.all(
      Array.from({ length: 200 }, async () => new TtrpcClient(await unix.dial())),
    );
    const answers = clients.map((client, i) =>
      createClient(EchoDefinition, client).echo({ value: bytes(`client ${i}`) }),
    );
    expect((await Promise.all(answers)).map(({ value }) => Buffer.from(value).toString())).toEqual(
      clients.map((_, i) => `client ${i}`),
    );
    expect(server.connectionCount).toBe(200);
    stop();
    for (const client of clients) client.close();
    await server.shutdown();
    expect(server.connectionCount).toBe(0);
  });

  test("one connection too many is closed at once", async () => {
    const server = new TtrpcServer({ maxConnections: 1 });
    server.register(EchoDefinition, echoHandlers);
    await using unix = await listenUnix();
    server.serveListener(unix.listener);
    await using first = new TtrpcClient(await unix.dial());
    await createClient(EchoDefinition, first).echo({ value: none });
    await using second = new TtrpcClient(await unix.dial());
    await second.closed;
    await createClient(EchoDefinition, first).echo({ value: none });
    await server[Symbol.asyncDispose]();
  });

  test("megabytes travel both ways unharmed", async () => {
    const server = new TtrpcServer();
    server.register(EchoDefinition, echoHandlers);
    await using unix = await listenUnix();
    server.serveListener(unix.listener);
    await using client = new TtrpcClient(await unix.dial());
    const echo = createClient(EchoDefinition, client);
    const values = Array.from({ length: 12 }, (_, i) =>
      Buffer.alloc(1 << (i * 2 - Math.max(0, i * 2 - 21)), i),
    );
    const answers = await Promise.all(values.map((value) => echo.echo({ value })));
    for (const [i, answer] of answers.entries())
      expect(Buffer.compare(answer.value, values[i] ?? none)).toBe(0);
    await server[Symbol.asyncDispose]();
  });
});
