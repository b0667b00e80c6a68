import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  type CallContext,
  decodeResponse,
  encodeHeader,
  encodeRequest,
  FrameConnection,
  type FrameHandlers,
  FrameType,
  MAX_DATA_BYTES,
  type RawMethod,
  TtrpcClient,
  TtrpcError,
  TtrpcServer,
} from "../../src/ttrpc/index.ts";
import { BytesCodec } from "../../src/ttrpc/test-peers.ts";
import { buildPeer, type PeerKind, startClient, startServer } from "./ttrpc/peers.ts";

const SERVICE = "interop.Peer";
/** What an envelope with an Echo request costs besides the value. */
const REQUEST_OVERHEAD = 30;

const bytesIn = (answer: Uint8Array): Buffer => Buffer.from(BytesCodec.decode(answer).value);
const message = (value: Uint8Array | string): Uint8Array =>
  BytesCodec.encode({ value: Buffer.from(value) }).finish();

/** interop.Peer as ttrpc/README.md describes it, on our server. */
function ourServer(): { server: TtrpcServer; waits: CallContext[]; waiting: () => Promise<void> } {
  const waits: CallContext[] = [];
  let onWait: () => void = () => undefined;
  const on =
    (run: (value: Buffer, context: CallContext) => Promise<Uint8Array | string>): RawMethod =>
    async (payload, context) =>
      message(await run(bytesIn(payload), context));
  const server = new TtrpcServer();
  server.registerRaw(SERVICE, {
    Echo: on(async (value) => value),
    Size: on(async (value) => Buffer.alloc(Number(value.toString()), "z")),
    Metadata: on(async (_, { metadata }) => {
      const byKey = Map.groupBy(metadata, ([key]) => key);
      const lines = [...byKey].map(([key, pairs]) => `${key}=${pairs.map(([, value]) => value).join(",")}`);
      return lines.sort().join("\n");
    }),
    Remaining: on(async (_, context) => String(context.remainingMs() ?? "none")),
    Fail: on(async (value) => {
      const [code = "", text = ""] = value.toString().split(/ (.*)/s);
      throw new TtrpcError(Number(code), text);
    }),
    Plain: on(async (value) => {
      throw new Error(value.toString());
    }),
    Wait: on((_, context) => {
      waits.push(context);
      onWait();
      return new Promise(() => undefined);
    }),
  });
  const waiting = () => new Promise<void>((resolve) => (onWait = resolve));
  return { server, waits, waiting };
}

const socketPath = (): string => join(tmpdir(), `interop-${randomUUID().slice(0, 13)}.sock`);

async function dial(path: string): Promise<net.Socket> {
  const socket = net.connect(path);
  await once(socket, "connect");
  return socket;
}

const codeOf = (call: Promise<unknown>): Promise<number> =>
  call.then(
    () => 0,
    (error: unknown) => (error instanceof TtrpcError ? error.code : -1),
  );

for (const kind of ["go", "rust"] as const satisfies readonly PeerKind[]) {
  const built = await buildPeer(kind);
  const path = "path" in built ? built.path : "";
  const missing = "missing" in built;
  const suffix = missing ? ` (${built.missing})` : "";

  describe.skipIf(missing)(`our client with a ${kind} server${suffix}`, () => {
    async function connect(stack: AsyncDisposableStack) {
      const socket = socketPath();
      stack.defer(() => rmSync(socket, { force: true }));
      const server = stack.use(await startServer(path, socket));
      const client = stack.use(new TtrpcClient(await dial(socket)));
      const call = async (method: string, value: Uint8Array | string = "", options = {}): Promise<Buffer> =>
        bytesIn(await client.call(SERVICE, method, message(value), options));
      return { socket, server, client, call };
    }

    test("calls, metadata, deadlines and statuses arrive as they were sent", async () => {
      await using stack = new AsyncDisposableStack();
      const { client, call } = await connect(stack);
      expect((await call("Echo", "hällo")).toString()).toBe("hällo");
      expect((await call("Echo", "")).toString()).toBe("");
      const metadata = [
        ["containerd-namespace-ttrpc", "k8s.io"],
        ["key", "1"],
        ["key", "2"],
      ] as const;
      expect((await call("Metadata", "", { metadata })).toString()).toBe(
        "containerd-namespace-ttrpc=k8s.io\nkey=1,2",
      );
      expect((await call("Remaining")).toString()).toBe("none");
      const remainingMs = Number(await call("Remaining", "", { timeoutMs: 60_000 }));
      expect(remainingMs).toBeGreaterThan(1000);
      expect(remainingMs).toBeLessThanOrEqual(60_000);
      for (const code of [1, 5, 8, 16])
        await expect(call("Fail", `${code} no such thing`)).rejects.toMatchObject({
          code,
          message: "no such thing",
        });
      await expect(call("Plain", "boom")).rejects.toMatchObject({ code: 2, message: /boom/ });
      expect(await codeOf(call("Nothing"))).toBe(12);
      // The wire protocol's table of differences: Go answers 12 for an unknown service, Rust 3.
      expect(await codeOf(client.call("no.Such", "Echo", message("")))).toBe(kind === "go" ? 12 : 3);
    });

    test("a deadline ends the call at both ends, and the connection goes on", async () => {
      await using stack = new AsyncDisposableStack();
      const { call } = await connect(stack);
      expect(await codeOf(call("Wait", "", { timeoutMs: 50 }))).toBe(4);
      while ((await call("Cancelled")).toString() !== "1")
        await new Promise((resolve) => setImmediate(resolve));
    });

    test("the largest message passes; one byte more fails here without being sent", async () => {
      await using stack = new AsyncDisposableStack();
      const { call } = await connect(stack);
      const largest = Buffer.alloc(MAX_DATA_BYTES - REQUEST_OVERHEAD, "z");
      expect((await call("Echo", largest)).equals(largest)).toBe(true);
      expect(await codeOf(call("Echo", Buffer.concat([largest, Buffer.alloc(1)])))).toBe(8);
      expect((await call("Size", String(MAX_DATA_BYTES - 12))).length).toBe(MAX_DATA_BYTES - 12);
      // An answer over the limit: Go closes the connection (14), Rust answers an error in its place.
      expect([3, 14]).toContain(await codeOf(call("Size", String(MAX_DATA_BYTES))));
    });

    test("an oversized frame of ours costs its stream, not the connection", async () => {
      await using stack = new AsyncDisposableStack();
      const { socket } = await connect(stack);
      const answers: [stream: number, code: number][] = [];
      const two = Promise.withResolvers<void>();
      const stream = await dial(socket);
      const handlers: FrameHandlers = {
        onFrame({ streamId, data }) {
          answers.push([streamId, decodeResponse(data).status?.code ?? 0]);
          if (answers.length === 2) two.resolve();
        },
        onClose: () => two.reject(new Error("closed")),
      };
      const connection = new FrameConnection(stream, handlers);
      stack.defer(() => connection.destroy());
      const length = MAX_DATA_BYTES + 1;
      stream.write(encodeHeader({ length, streamId: 1, type: FrameType.Request, flags: 0 }));
      stream.write(Buffer.alloc(length));
      const data = encodeRequest({
        service: SERVICE,
        method: "Echo",
        payload: message("after"),
        timeoutNano: 0n,
        metadata: [],
      });
      await connection.send({ streamId: 3, type: FrameType.Request, flags: 0, data });
      await two.promise;
      expect(answers.map(([streamId]) => streamId)).toEqual([1, 3]);
      expect(answers[0]?.[1]).not.toBe(0);
      expect(answers[1]?.[1]).toBe(0);
      two.promise.catch(() => undefined);
    });

    test("thousands of calls are in flight at once", async () => {
      await using stack = new AsyncDisposableStack();
      const { client, call } = await connect(stack);
      const waits = Array.from({ length: 2000 }, () => codeOf(call("Wait")));
      const echoes = await Promise.all(Array.from({ length: 3000 }, (_, i) => call("Echo", `call ${i}`)));
      expect(echoes.every((answer, i) => answer.toString() === `call ${i}`)).toBe(true);
      expect(client.callsInFlight).toBe(2000);
      client.close();
      expect(new Set(await Promise.all(waits))).toEqual(new Set([14]));
    });

    test("a server that dies in mid-call fails every call with Unavailable", async () => {
      await using stack = new AsyncDisposableStack();
      const { server, client, call } = await connect(stack);
      const waits = [1, 2, 3].map(() => call("Wait"));
      await call("Echo");
      await Promise.all([server.kill(), ...waits.map(async (wait) => expect(await codeOf(wait)).toBe(14))]);
      await client.closed;
      expect(await codeOf(call("Echo"))).toBe(14);
    });

    test("closing our side in mid-call makes the server give its calls up", async () => {
      await using stack = new AsyncDisposableStack();
      const { socket, client, call } = await connect(stack);
      const wait = call("Wait");
      await call("Echo");
      client.close();
      expect(await codeOf(wait)).toBe(14);
      await using second = new TtrpcClient(await dial(socket));
      const cancelled = async (): Promise<string> =>
        bytesIn(await second.call(SERVICE, "Cancelled", message(""))).toString();
      while ((await cancelled()) !== "1") await new Promise((resolve) => setImmediate(resolve));
    });
  });

  describe.skipIf(missing)(`our server with a ${kind} client${suffix}`, () => {
    async function listen(stack: AsyncDisposableStack) {
      const socket = socketPath();
      const ours = ourServer();
      const listener = net.createServer();
      ours.server.serveListener(listener);
      listener.listen(socket);
      await once(listener, "listening");
      stack.defer(() => void listener.close());
      stack.use(ours.server);
      return { ...ours, client: stack.use(startClient(path, socket)) };
    }

    test("calls, metadata, deadlines and statuses arrive as they were sent", async () => {
      await using stack = new AsyncDisposableStack();
      const { client } = await listen(stack);
      expect(await client.run({ method: "Echo", text: "hällo" })).toMatchObject({ code: 0, text: "hällo" });
      expect(await client.run({ method: "Echo" })).toMatchObject({ code: 0, text: "" });
      const metadata = { "containerd-namespace-ttrpc": ["k8s.io"], key: ["1", "2"] };
      expect(await client.run({ method: "Metadata", metadata })).toMatchObject({
        code: 0,
        text: "containerd-namespace-ttrpc=k8s.io\nkey=1,2",
      });
      expect(await client.run({ method: "Remaining" })).toMatchObject({ text: "none" });
      const remaining = await client.run({ method: "Remaining", timeoutMs: 60_000 });
      expect(Number(remaining.text)).toBeGreaterThan(1000);
      expect(Number(remaining.text)).toBeLessThanOrEqual(60_000);
      for (const code of [1, 5, 8, 16]) {
        const failed = await client.run({ method: "Fail", text: `${code} no such thing` });
        expect(failed).toMatchObject({ code, text: "no such thing" });
      }
      expect(await client.run({ method: "Plain", text: "boom" })).toMatchObject({ code: 2, text: "boom" });
      expect(await client.run({ method: "Nothing" })).toMatchObject({ code: 12 });
      expect(await client.run({ service: "no.Such", method: "Echo" })).toMatchObject({ code: 12 });
    });

    test("a deadline ends the call at both ends, and the connection goes on", async () => {
      await using stack = new AsyncDisposableStack();
      const { client, waits, waiting } = await listen(stack);
      const arrived = waiting();
      const wait = client.run({ method: "Wait", timeoutMs: 200 });
      await arrived;
      const signal = waits[0]?.signal ?? AbortSignal.abort();
      if (!signal.aborted) await once(signal, "abort");
      expect(signal.reason).toMatchObject({ code: 4 });
      // Rust's client reports its own timer without a status if that is first.
      expect([4, -1]).toContain((await wait).code);
      expect(await client.run({ method: "Echo", text: "on" })).toMatchObject({ code: 0, text: "on" });
    });

    test("the largest messages pass; an answer over the limit becomes ResourceExhausted", async () => {
      await using stack = new AsyncDisposableStack();
      const { client } = await listen(stack);
      const size = MAX_DATA_BYTES - REQUEST_OVERHEAD;
      expect(await client.run({ method: "Echo", size })).toMatchObject({ code: 0, size });
      expect((await client.run({ method: "Echo", size: size + 1 })).code).not.toBe(0);
      expect(await client.run({ method: "Size", text: String(MAX_DATA_BYTES - 10) })).toMatchObject({
        code: 0,
      });
      expect(await client.run({ method: "Size", text: String(MAX_DATA_BYTES - 9) })).toMatchObject({
        code: 8,
      });
      expect(await client.run({ method: "Echo", text: "on" })).toMatchObject({ code: 0, text: "on" });
    });

    test("thousands of calls are in flight at once", async () => {
      await using stack = new AsyncDisposableStack();
      const { client, server } = await listen(stack);
      const waits = client.run({ method: "Wait", count: 2000 });
      const echoes = await client.run({ method: "Echo", text: "call", count: 3000 });
      expect(echoes).toMatchObject({ code: 0, matched: 3000 });
      while (server.callsInFlight < 2000) await new Promise((resolve) => setImmediate(resolve));
      server.close();
      expect(await waits).toMatchObject({ matched: 0 });
      expect((await waits).code).not.toBe(0);
    });

    test("a client that closes in mid-call has its handlers aborted", async () => {
      await using stack = new AsyncDisposableStack();
      const { client, server, waits, waiting } = await listen(stack);
      const arrived = waiting();
      const wait = client.run({ method: "Wait" });
      await arrived;
      const signal = waits[0]?.signal ?? AbortSignal.abort();
      const aborted = once(signal, "abort");
      if (kind === "go") {
        await client.run({ close: true });
        expect((await wait).code).toBe(-1);
      } else {
        // The crate cannot close with a call pending; its process ends.
        const ended = expect(wait).rejects.toThrow(/ended/);
        await client[Symbol.asyncDispose]();
        await ended;
      }
      await aborted;
      expect(signal.reason).toMatchObject({ code: 1 });
      while (server.connectionCount > 0) await new Promise((resolve) => setImmediate(resolve));
    });

    test("a server that closes in mid-call fails the client's calls", async () => {
      await using stack = new AsyncDisposableStack();
      const { client, server, waiting } = await listen(stack);
      const arrived = waiting();
      const wait = client.run({ method: "Wait" });
      await arrived;
      server.close();
      expect((await wait).code).not.toBe(0);
      expect((await client.run({ method: "Echo" })).code).not.toBe(0);
    });
  });
}
