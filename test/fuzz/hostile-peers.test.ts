import { once } from "node:events";
import net from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  createClient,
  decodeResponse,
  encodeFrame,
  encodeHeader,
  encodeRequest,
  FrameDecoder,
  FrameType,
  MAX_DATA_BYTES,
  TtrpcClient,
  TtrpcServer,
  type TtrpcServerOptions,
} from "../../src/ttrpc/index.ts";
import {
  EchoDefinition,
  echoHandlers,
  listenUnix,
  ManualClock,
  type UnixListener,
} from "../../src/ttrpc/test-peers.ts";

/** Peers over real sockets that keep no rule. In each test good peers are served all the while, in bounded memory. */

const none = new Uint8Array(0);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const residentMib = (): number => process.memoryUsage.rss() / 2 ** 20;

const echoRequest = (streamId: number): Buffer =>
  encodeFrame({
    streamId,
    type: FrameType.Request,
    flags: 0,
    data: encodeRequest({
      service: "test.Echo",
      method: "Echo",
      payload: none,
      timeoutNano: 0n,
      metadata: [],
    }),
  });

describe("a server", () => {
  let stack: AsyncDisposableStack;
  let unix: UnixListener;
  let server: TtrpcServer;
  let clock: ManualClock;

  const start = (options: TtrpcServerOptions = {}): void => {
    server = stack.use(new TtrpcServer({ clock, ...options }));
    server.register(EchoDefinition, echoHandlers);
    server.serveListener(unix.listener);
  };

  /** Hostile connections, counted by the server. */
  const dialMany = async (count: number): Promise<net.Socket[]> => {
    const before = server.connectionCount;
    const sockets = await Promise.all(Array.from({ length: count }, () => unix.dial()));
    for (const socket of sockets) {
      socket.on("error", () => undefined);
      stack.defer(() => void socket.destroy());
    }
    while (server.connectionCount < before + count) await turn();
    return sockets;
  };

  const serveGoodClient = async (): Promise<void> => {
    await using client = new TtrpcClient(await unix.dial());
    await createClient(EchoDefinition, client).echo({ value: none });
  };

  const untilConnections = async (count: number): Promise<void> => {
    while (server.connectionCount > count) await turn();
  };

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    clock = new ManualClock();
    unix = stack.use(await listenUnix());
  });
  afterEach(() => stack.disposeAsync());

  test("ends slow lorises: peers that trickle a frame without ever finishing it", async () => {
    start({ frameTimeoutMs: 60_000 });
    const sockets = await dialMany(100);
    const header = encodeHeader({ length: MAX_DATA_BYTES, streamId: 1, type: 1, flags: 0 });
    for (const socket of sockets) socket.write(header.subarray(0, 5));
    while (clock.timerCount < 100) await turn();
    for (let step = 0; step < 6; step++) {
      clock.advance(9_000);
      for (const socket of sockets) socket.write(step === 0 ? header.subarray(5) : Buffer.alloc(1));
      await turn();
      expect(server.connectionCount).toBe(100);
    }
    await serveGoodClient();
    clock.advance(60_000);
    await untilConnections(0);
    await serveGoodClient();
  });

  test("allocates for what comes, not for what is announced", async () => {
    start();
    const before = residentMib();
    const sockets = await dialMany(300);
    for (const socket of sockets) {
      socket.write(encodeHeader({ length: MAX_DATA_BYTES, streamId: 1, type: 1, flags: 0 }));
      socket.write(Buffer.alloc(100));
    }
    await serveGoodClient();
    expect(residentMib() - before).toBeLessThan(200); // announced: 1200 MiB
  });

  test("answers headers of 4 GiB with ResourceExhausted and throws their data away", async () => {
    start();
    const before = residentMib();
    const sockets = await dialMany(20);
    const codes = sockets.map(async (socket) => {
      socket.write(encodeHeader({ length: 2 ** 32 - 1, streamId: 1, type: 1, flags: 0 }));
      const [chunk]: Buffer[] = await once(socket, "data");
      for (const frame of new FrameDecoder().push(chunk ?? Buffer.alloc(0)))
        return decodeResponse(frame.data).status?.code;
      return undefined;
    });
    expect(new Set(await Promise.all(codes))).toEqual(new Set([8]));
    const piece = Buffer.alloc(1024 * 1024);
    for (let i = 0; i < 16; i++) {
      await Promise.all(
        sockets.map(async (socket) => void (socket.write(piece) || (await once(socket, "drain")))),
      );
    }
    await serveGoodClient();
    expect(residentMib() - before).toBeLessThan(200); // sent: 320 MiB
  });

  test("lives through peers that close, half-close and reset at any point", async () => {
    start();
    const request = echoRequest(1);
    const sockets = await dialMany(60);
    for (const [i, socket] of sockets.entries()) {
      socket.write(request.subarray(0, i % request.length));
      if (i % 3 === 0) socket.end();
      else if (i % 3 === 1) socket.destroy();
      else socket.end(() => socket.destroy());
    }
    await untilConnections(0);
    await serveGoodClient();
  });

  test("lives through TCP resets", async () => {
    start();
    const listener = net.createServer();
    stack.defer(() => void listener.close());
    server.serveListener(listener);
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
    const address = listener.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    for (let i = 0; i < 20; i++) {
      const socket = net.connect(port, "127.0.0.1");
      await once(socket, "connect");
      socket.write(Buffer.concat([echoRequest(1), echoRequest(3)]));
      socket.resetAndDestroy();
    }
    await serveGoodClient();
    await untilConnections(0);
  });

  test("serves others while peers flood it and read nothing", async () => {
    start();
    const before = residentMib();
    const sockets = await dialMany(5);
    const flood = Buffer.concat(Array.from({ length: 20_000 }, (_, i) => echoRequest(2 * i + 1)));
    for (const socket of sockets) {
      socket.pause();
      socket.write(flood);
    }
    for (let i = 0; i < 20; i++) await serveGoodClient();
    expect(residentMib() - before).toBeLessThan(300);
    await untilConnections(5); // the floods are still being served
  });

  test("bounds what calls that never end can hold", async () => {
    start({ maxCallsInFlight: 500 });
    const [socket] = await dialMany(1);
    const wait = encodeRequest({
      service: "test.Echo",
      method: "Wait",
      payload: none,
      timeoutNano: 0n,
      metadata: [],
    });
    for (let id = 1; id < 20_000; id += 2)
      socket?.write(encodeFrame({ streamId: id, type: FrameType.Request, flags: 0, data: wait }));
    while (server.callsInFlight < 500) await turn();
    await serveGoodClient();
    expect(server.callsInFlight).toBe(500);
    socket?.destroy();
  });

  test("answers random bytes with nothing worse than the end of that connection", async () => {
    start();
    const sockets = await dialMany(30);
    for (const [i, socket] of sockets.entries())
      socket.end(
        Buffer.from(Array.from({ length: 5000 }, (_, at) => (at * at * (i + 7) + (at >> 3)) & 0xff)),
      );
    await untilConnections(0);
    await serveGoodClient();
  });

  test("a peer that sends TLS to a plain socket is told off or closed, and costs nobody else", async () => {
    start();
    const [socket] = await dialMany(1);
    // The beginning of a TLS 1.2 ClientHello: as a header it announces 369 MB on a stream of type 0x01.
    socket?.write(Buffer.from("16030100c8010000c40303", "hex"));
    await serveGoodClient();
    socket?.end();
    await untilConnections(0);
  });
});

describe("a client", () => {
  /** A client whose server does what `behave` says with each connection. */
  const connect = async (stack: AsyncDisposableStack, behave: (socket: net.Socket) => void) => {
    const unix = stack.use(await listenUnix());
    unix.listener.on("connection", (socket) => {
      socket.on("error", () => undefined);
      behave(socket);
    });
    const clock = new ManualClock();
    return { clock, client: stack.use(new TtrpcClient(await unix.dial(), { clock })) };
  };

  test("gives up in time on a server that never reads, keeping no more than its bound", async () => {
    await using stack = new AsyncDisposableStack();
    const { client, clock } = await connect(stack, (socket) => socket.pause());
    const payload = new Uint8Array(1024 * 1024);
    const calls = Array.from({ length: 30 }, () => client.call("s", "m", payload, { timeoutMs: 1000 }));
    const outcomes = Promise.allSettled(calls);
    await turn();
    clock.advance(1000);
    for (const outcome of await outcomes) expect(outcome).toMatchObject({ reason: { code: 4 } });
    expect(client.callsInFlight).toBe(0);
  });

  test.each([
    ["closes at once", (socket: net.Socket) => void socket.destroy(), 14],
    [
      "closes within a frame",
      (socket: net.Socket) => void socket.end(encodeHeader({ length: 9, streamId: 1, type: 2, flags: 0 })),
      14,
    ],
    [
      "announces 4 GiB",
      (socket: net.Socket) =>
        void socket.write(encodeHeader({ length: 2 ** 32 - 1, streamId: 1, type: 2, flags: 0 })),
      8,
    ],
    [
      "answers garbage",
      (socket: net.Socket) =>
        void socket.write(encodeFrame({ streamId: 1, type: 2, flags: 0, data: Buffer.alloc(99, 0xff) })),
      13,
    ],
  ])("fails its call when the server %s", async (_, behave, code) => {
    await using stack = new AsyncDisposableStack();
    const { client } = await connect(stack, (socket) => socket.once("data", () => behave(socket)));
    await expect(client.call("s", "m", none)).rejects.toMatchObject({ code });
  });

  test("drops a flood of answers that nobody asked for", async () => {
    await using stack = new AsyncDisposableStack();
    const answers = Array.from({ length: 50_000 }, (_, i) =>
      encodeFrame({ streamId: 2 * i + 99, type: 2, flags: 0, data: Buffer.alloc(20, 1) }),
    );
    const good = encodeFrame({ streamId: 1, type: 2, flags: 0, data: Buffer.alloc(0) });
    const { client } = await connect(stack, (socket) =>
      socket.once("data", () => void socket.write(Buffer.concat([...answers, good]))),
    );
    expect(await client.call("s", "m", none)).toHaveLength(0);
    expect(client.callsInFlight).toBe(0);
  });
});
