import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Duplex, duplexPair } from "node:stream";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { TtrpcClient, type TtrpcClientOptions } from "./client.ts";
import type { TtrpcClock } from "./clock.ts";
import type { MessageCodec, ServiceHandlers } from "./definition.ts";
import { TtrpcServer, type TtrpcServerOptions } from "./server.ts";

/** What the tests of this folder share: a small service, a clock that stands still, connections. */

/** A message with one bytes field, as google.protobuf.BytesValue. */
export interface Bytes {
  value: Uint8Array;
}

export const BytesCodec: MessageCodec<Bytes> = {
  encode: (message) => new BinaryWriter().uint32((1 << 3) | WireType.LengthDelimited).bytes(message.value),
  decode(bytes) {
    const reader = new BinaryReader(bytes);
    let value: Uint8Array = new Uint8Array(0);
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (field === 1 && wireType === WireType.LengthDelimited) value = reader.bytes();
      else reader.skip(wireType, field);
    }
    return { value };
  },
};

interface BytesMethod {
  readonly name: string;
  readonly requestType: MessageCodec<Bytes>;
  readonly responseType: MessageCodec<Bytes>;
  readonly requestStream: false;
  readonly responseStream: false;
}

const unary = (name: string): BytesMethod => ({
  name,
  requestType: BytesCodec,
  responseType: BytesCodec,
  requestStream: false,
  responseStream: false,
});

export const EchoDefinition: {
  readonly fullName: string;
  readonly methods: { readonly echo: BytesMethod; readonly wait: BytesMethod };
} = { fullName: "test.Echo", methods: { echo: unary("Echo"), wait: unary("Wait") } };

/** Echo answers what it got; Wait answers nothing until its signal aborts. */
export const echoHandlers: ServiceHandlers<typeof EchoDefinition> = {
  echo: async (request) => request,
  wait: (_, context) =>
    new Promise((_resolve, reject) => {
      context.signal.addEventListener("abort", () => reject(context.signal.reason));
    }),
};

/** A clock that moves only when told to. */
export class ManualClock implements TtrpcClock {
  #nowMs = 0;
  readonly #timers: Set<{ readonly atMs: number; readonly fn: () => void }> = new Set();

  /** Timers that have not fired. */
  get timerCount(): number {
    return this.#timers.size;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  schedule(ms: number, fn: () => void): () => void {
    const timer = { atMs: this.#nowMs + ms, fn };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const due = [...this.#timers].filter((timer) => timer.atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#nowMs = due.atMs;
      due.fn();
    }
    this.#nowMs = endMs;
  }
}

export interface Joined extends AsyncDisposable {
  readonly server: TtrpcServer;
  readonly client: TtrpcClient;
  /** The server's end of the connection. */
  readonly serverStream: Duplex;
}

/** A server with the echo service, and a client of it, joined in memory. */
export function joinedInMemory(
  options: { server?: TtrpcServerOptions; client?: TtrpcClientOptions } = {},
): Joined {
  const [left, right] = duplexPair();
  const server = new TtrpcServer(options.server);
  server.register(EchoDefinition, echoHandlers);
  server.serveConnection(right);
  const client = new TtrpcClient(left, options.client);
  return {
    server,
    client,
    serverStream: right,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

export interface UnixListener extends AsyncDisposable {
  readonly listener: net.Server;
  readonly path: string;
  dial(): Promise<net.Socket>;
}

/** A listening unix socket under a random name; closing it destroys what is still connected. */
export async function listenUnix(): Promise<UnixListener> {
  const path = join(tmpdir(), `ttrpc-${randomUUID().slice(0, 13)}.sock`);
  const listener = net.createServer();
  const sockets = new Set<net.Socket>();
  listener.on("connection", (socket) => {
    sockets.add(socket.once("close", () => sockets.delete(socket)));
  });
  listener.listen(path);
  await once(listener, "listening");
  return {
    listener,
    path,
    async dial() {
      const socket = net.connect(path);
      await once(socket, "connect");
      return socket;
    },
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const socket of sockets) socket.destroy();
      if (listener.listening) await once(listener, "close");
      rmSync(path, { force: true });
    },
  };
}
