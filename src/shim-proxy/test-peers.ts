import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { vi } from "vitest";
import { JumpClock } from "../../test/fakes/jump-clock.ts";
import { CheckRequest, HealthCheckResponse, VersionCheckResponse } from "../gen/agent/health.ts";
import { type Log, silentLog } from "../platform/index.ts";
import { DEFAULT_TLS_PROFILE, issueVmIdentity, tlsServerOptions, type VmIdentity } from "../tls/index.ts";
import {
  decodeRequest,
  encodeRequest,
  encodeResponse,
  type Frame,
  FrameConnection,
  FrameType,
  type RequestEnvelope,
  TtrpcClient,
} from "../ttrpc/index.ts";
import {
  type AttachOptions,
  type LinkTarget,
  type ProxySnapshot,
  ShimProxyClient,
  type ShimProxyEvent,
} from "./index.ts";
import type { ShimProxyLimits } from "./limits.ts";
import { runShimProxy, type ShimProxy } from "./server.ts";

/** What the tests of this folder share: a proxy in a folder of its own, and peers on all its sides. */

/** Waits until `check` holds; the reason of its last failure otherwise. */
export const eventually = (check: () => void | Promise<void>): Promise<void> =>
  vi.waitFor(check, { timeout: 10_000, interval: 4 });

const NO_BYTES = new Uint8Array(0);

/** What a test opened, closed in the reverse order. */
export class Opened {
  readonly #closers: (() => unknown)[] = [];

  add<T>(thing: T, close: (thing: T) => unknown): T {
    this.#closers.push(() => close(thing));
    return thing;
  }

  async closeAll(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }
}

/** A request as a peer saw it, and its way to answer. */
export interface Asked extends RequestEnvelope {
  readonly streamId: number;
  readonly connection: FrameConnection;
  /** The whole envelope, byte for byte. */
  readonly data: Buffer;
  answer(payload?: Uint8Array): void;
  /** An answer's envelope, byte for byte. */
  answerRaw(data: Buffer): void;
  fail(code: number, message: string): void;
}

/** A peer that records what it is asked, answers by method name, and leaves the rest unanswered. */
export class RecordingPeer {
  readonly asked: Asked[] = [];
  readonly handlers: Map<string, (asked: Asked) => void> = new Map();
  readonly connections: Set<FrameConnection> = new Set();
  /** What they run over. */
  readonly streams: Set<net.Socket> = new Set();
  /** Connections so far. */
  connectionCount = 0;
  #reading: PromiseWithResolvers<void> | undefined;

  serve(stream: net.Socket): void {
    this.connectionCount++;
    const connection: FrameConnection = new FrameConnection(stream, {
      onFrame: (frame) => this.#onFrame(connection, frame),
      onClose: () => {
        this.connections.delete(connection);
        this.streams.delete(stream);
      },
    });
    this.connections.add(connection);
    this.streams.add(stream);
  }

  /** Methods asked so far, in order. */
  get methods(): string[] {
    return this.asked.map((asked) => asked.method);
  }

  /** The first unseen request of this method, as soon as it is there. */
  async next(method: string, skip = 0): Promise<Asked> {
    let found: Asked | undefined;
    await eventually(() => {
      found = this.asked.filter((asked) => asked.method === method)[skip];
      if (found === undefined)
        throw new Error(`${method} was not asked ${skip + 1} times: ${this.methods.join(", ")}`);
    });
    if (found === undefined) throw new Error("unreachable");
    return found;
  }

  /** Reads no more until `read`. */
  hold(): void {
    this.#reading = Promise.withResolvers();
  }

  read(): void {
    this.#reading?.resolve();
    this.#reading = undefined;
  }

  /** Breaks all connections. */
  cut(): void {
    for (const connection of [...this.connections]) connection.destroy();
  }

  #onFrame(connection: FrameConnection, frame: Frame): Promise<void> | undefined {
    if (frame.type !== FrameType.Request) return undefined;
    const { streamId } = frame;
    const send = (data: Buffer): void => {
      connection.send({ streamId, type: FrameType.Response, flags: 0, data }).catch(() => undefined);
    };
    const request = decodeRequest(frame.data);
    const asked: Asked = {
      ...request,
      payload: Uint8Array.from(request.payload),
      streamId,
      connection,
      data: Buffer.from(frame.data),
      answerRaw: send,
      answer: (payload = NO_BYTES) => send(encodeResponse({ payload })),
      fail: (code, message) => send(encodeResponse({ status: { code, message }, payload: NO_BYTES })),
    };
    this.asked.push(asked);
    this.handlers.get(request.method)?.(asked);
    return this.#reading?.promise;
  }
}

/** A pod VM: a TLS listener with an agent behind it that answers health calls until told otherwise. */
export class FakeVm extends RecordingPeer {
  readonly identity: VmIdentity | undefined;
  readonly #server: net.Server;
  agentVersion = "3.32.0";
  /** Whether new connections are taken. */
  listening = true;

  constructor(identity: VmIdentity | undefined) {
    super();
    this.identity = identity;
    this.#server =
      identity === undefined
        ? net.createServer((socket) => this.serve(socket))
        : tls.createServer(
            tlsServerOptions({
              profile: DEFAULT_TLS_PROFILE,
              certPem: identity.serverCertPem,
              keyPem: identity.serverKeyPem,
              clientCaPem: identity.clientCertPem,
            }),
            (socket) => this.serve(socket),
          );
    this.#server.on("connection", (socket: net.Socket) => {
      if (!this.listening) socket.destroy();
    });
    this.revive();
  }

  static async start(
    opened: Opened,
    options: { plain?: boolean; serverName?: string } = {},
  ): Promise<FakeVm> {
    const identity =
      options.plain === true
        ? undefined
        : await issueVmIdentity({ serverName: options.serverName ?? "podvm-x", nowMs: Date.now() });
    const vm = new FakeVm(identity);
    await vm.listen(0);
    return opened.add(vm, () => vm.close());
  }

  async listen(port: number): Promise<void> {
    this.#server.listen(port, "127.0.0.1");
    await once(this.#server, "listening");
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("not listening");
    return address.port;
  }

  /** The agent answers health calls. */
  revive(): void {
    this.handlers.set("Version", (asked) =>
      asked.answer(
        VersionCheckResponse.encode({ grpcVersion: "0.0.1", agentVersion: this.agentVersion }).finish(),
      ),
    );
    this.handlers.set("Check", (asked) => asked.answer(HealthCheckResponse.encode({ status: 1 }).finish()));
  }

  /** The forwarder still accepts, the agent answers nothing. */
  hang(): void {
    this.handlers.clear();
  }

  /** Requests that are not the proxy's own or a shim's health calls. */
  get calls(): Asked[] {
    return this.asked.filter((asked) => asked.service !== "grpc.Health");
  }

  target(id: string, changes: Partial<LinkTarget> = {}): LinkTarget {
    const { identity } = this;
    return {
      id,
      address: "127.0.0.1",
      port: this.port,
      timeoutMs: 10_000,
      volumes: [],
      ...(identity === undefined
        ? {}
        : {
            tls: {
              profile: DEFAULT_TLS_PROFILE,
              serverName: identity.serverName,
              caPem: identity.caPem,
              clientCertPem: identity.clientCertPem,
              clientKeyPem: identity.clientKeyPem,
              skipVerify: false,
            },
          }),
      ...changes,
    };
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}

/** A control plane: a frame socket and an attach. */
export class FakeOwner extends RecordingPeer {
  readonly client: ShimProxyClient;
  readonly snapshot: ProxySnapshot;
  readonly events: ShimProxyEvent[];
  readonly #server: net.Server;

  private constructor(parts: {
    client: ShimProxyClient;
    snapshot: ProxySnapshot;
    events: ShimProxyEvent[];
    server: net.Server;
    peer: RecordingPeer;
  }) {
    super();
    this.client = parts.client;
    this.snapshot = parts.snapshot;
    this.events = parts.events;
    this.#server = parts.server;
    Object.assign(this, {
      asked: parts.peer.asked,
      handlers: parts.peer.handlers,
      connections: parts.peer.connections,
    });
  }

  static async attach(
    opened: Opened,
    dir: string,
    options: Partial<AttachOptions> & {
      readonly onLost?: (reason: Error) => void;
      /** Dies before it has recovered: what it was given must not be blamed. */
      readonly recovers?: boolean;
    } = {},
  ): Promise<FakeOwner> {
    const epoch = options.epoch ?? 1;
    const frameSocket = join(dir, `frames-${epoch}-${Math.random().toString(36).slice(2, 8)}.sock`);
    const peer = new RecordingPeer();
    const server = net.createServer((socket) => peer.serve(socket));
    server.listen(frameSocket);
    await once(server, "listening");
    const client = await ShimProxyClient.connect(join(dir, "proxy.sock"), {
      ...(options.onLost === undefined ? {} : { onLost: options.onLost }),
    });
    const events: ShimProxyEvent[] = [];
    opened.add(client, () => client.close());
    opened.add(server, () => server.close());
    const snapshot = await client.attach(
      { programVersion: "test", frameSocket, ...options, epoch },
      (event) => events.push(event),
    );
    if (options.recovers !== false) await client.recovered();
    return new FakeOwner({ client, snapshot, events, server, peer });
  }

  /** As kill -9 does: no good-bye. */
  die(): void {
    this.client.close();
    this.#server.close();
    this.cut();
  }

  /** As SIGTERM does: nothing is answered. */
  async leave(): Promise<void> {
    await this.client.release();
    this.client.close();
    this.#server.close();
    this.cut();
  }
}

/** A shim's connection on which nothing is hidden. */
export class RawShim {
  readonly #connection: FrameConnection;
  /** Answers by stream id, in order of arrival. */
  readonly answers: { streamId: number; data: Buffer }[] = [];
  closed = false;
  #nextId = 1;
  #reading: PromiseWithResolvers<void> | undefined;

  private constructor(socket: net.Socket) {
    this.#connection = new FrameConnection(socket, {
      onFrame: (frame) => {
        this.answers.push({ streamId: frame.streamId, data: frame.data });
        return this.#reading?.promise;
      },
      onClose: () => {
        this.closed = true;
      },
    });
  }

  static async connect(opened: Opened, path: string): Promise<RawShim> {
    const socket = net.connect(path);
    await once(socket, "connect");
    const shim = new RawShim(socket);
    return opened.add(shim, () => shim.close());
  }

  /** Sends a request and returns its stream id. */
  ask(service: string, method: string, payload: Uint8Array = NO_BYTES, timeoutMs = 0): number {
    const streamId = this.#nextId;
    this.#nextId += 2;
    const timeoutNano = BigInt(Math.round(timeoutMs * 1e6));
    const data = encodeRequest({ service, method, payload, timeoutNano, metadata: [] });
    this.#connection.send({ streamId, type: FrameType.Request, flags: 0, data }).catch(() => undefined);
    return streamId;
  }

  send(frame: Omit<Frame, "oversizedBytes">): void {
    this.#connection.send(frame).catch(() => undefined);
  }

  /** Bytes that the other side has not taken. */
  get queuedBytes(): number {
    return this.#connection.queuedBytes;
  }

  /** Reads no more until `read`. */
  hold(): void {
    this.#reading = Promise.withResolvers();
  }

  read(): void {
    this.#reading?.resolve();
    this.#reading = undefined;
  }

  close(): void {
    this.#connection.destroy();
  }
}

/** A proxy, its folder, its clock. */
export interface Bench {
  readonly opened: Opened;
  readonly dir: string;
  readonly clock: JumpClock;
  readonly proxy: ShimProxy;
  readonly hypervisorSocket: string;
  /** A call on a connection of its own, as the Go shim makes them. */
  call(method: string, payload: Uint8Array, signal?: AbortSignal): Promise<Uint8Array>;
  /** Makes the folder of a sandbox and returns it. */
  sandboxDir(id: string): string;
}

export async function startBench(
  options: { limits?: Partial<ShimProxyLimits>; log?: Log } = {},
): Promise<Bench> {
  const opened = new Opened();
  const dir = opened.add(mkdtempSync(join(tmpdir(), "sp-")), (path) => rmSync(path, { recursive: true }));
  const clock = new JumpClock();
  const hypervisorSocket = join(dir, "hypervisor.sock");
  const proxy = await runShimProxy(
    { runDir: dir, hypervisorSocket, ...(options.limits === undefined ? {} : { limits: options.limits }) },
    { clock, log: options.log ?? silentLog },
  );
  opened.add(proxy, () => proxy.close());
  return {
    opened,
    dir,
    clock,
    proxy,
    hypervisorSocket,
    async call(method, payload, signal) {
      const client = await connectShim(opened, hypervisorSocket);
      try {
        return await client.call(
          "hypervisor.Hypervisor",
          method,
          payload,
          signal === undefined ? {} : { signal },
        );
      } finally {
        client.close();
      }
    },
    sandboxDir(id) {
      const path = join(dir, id);
      mkdirSync(path, { recursive: true });
      return path;
    },
  };
}

export async function connectShim(opened: Opened, path: string): Promise<TtrpcClient> {
  const socket = net.connect(path);
  await once(socket, "connect");
  const client = new TtrpcClient(socket);
  return opened.add(client, () => client.close());
}

/** A sandbox with its VM and its shim's connection, all up. */
export interface LinkedPod {
  readonly owner: FakeOwner;
  readonly vm: FakeVm;
  readonly agentSocket: string;
  readonly shim: TtrpcClient;
}

export async function linkedPod(
  bench: Bench,
  id = "s1",
  vmOptions: { plain?: boolean } = {},
): Promise<LinkedPod> {
  const owner = await FakeOwner.attach(bench.opened, bench.dir);
  const vm = await FakeVm.start(bench.opened, vmOptions);
  const dir = bench.sandboxDir(id);
  await owner.client.putSandbox(id, dir);
  await owner.client.putLink(vm.target(id));
  const agentSocket = join(dir, "agent.ttrpc");
  const shim = await connectShim(bench.opened, agentSocket);
  return { owner, vm, agentSocket, shim };
}

export const AGENT = "grpc.AgentService";

/** A Check as the shims send it; resolves with the status number. */
export async function check(shim: TtrpcClient): Promise<number> {
  const payload = await shim.call("grpc.Health", "Check", CheckRequest.encode({ service: "" }).finish());
  return HealthCheckResponse.decode(payload).status;
}
