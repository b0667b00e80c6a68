import type { Duplex } from "node:stream";
import { nodeClock, type TtrpcClock } from "./clock.ts";
import { FRAME_TIMEOUT_MS } from "./connection.ts";
import type { ServiceDefinition, ServiceHandlers, UnaryHandler } from "./definition.ts";
import { MAX_QUEUED_BYTES } from "./frame-writer.ts";
import type { CallContext, ConnectionInfo } from "./server-call.ts";
import { type EndedCall, type RawHandler, ServerConnection, type ServerShared } from "./server-connection.ts";
import { TtrpcCode, TtrpcError, textOf } from "./status.ts";

/**
 * Default bound on the calls of one connection that run at once. At the bound the connection is not read until a call
 * ends. Calls may pend for a pod's whole life (about three a container), so it is far above what an honest peer has:
 * a connection with this many calls that never end would be stuck.
 */
export const MAX_CALLS_IN_FLIGHT = 16_384;
/** Default bound on the request bytes of one connection's running calls; at the bound it is not read. */
export const MAX_REQUEST_BYTES: number = 64 * 1024 * 1024;
/** Default bound on connections; one more is closed at once. */
export const MAX_CONNECTIONS = 4096;

export interface TtrpcServerOptions {
  readonly clock?: TtrpcClock;
  /** See MAX_CALLS_IN_FLIGHT, the default. */
  readonly maxCallsInFlight?: number;
  /** See MAX_REQUEST_BYTES, the default. */
  readonly maxRequestBytes?: number;
  /** Bound on answers accepted and not yet taken by the system, per connection; see MAX_QUEUED_BYTES, the default. */
  readonly maxQueuedBytes?: number;
  /** See MAX_CONNECTIONS, the default. */
  readonly maxConnections?: number;
  /** See FRAME_TIMEOUT_MS, the default. 0: none. */
  readonly frameTimeoutMs?: number;
  /** Called after each call of a registered method; must not throw. */
  readonly onCallEnded?: (call: EndedCall) => void;
}

/** Something that emits connections, as net.Server and tls.Server (`eventName` "secureConnection") do. */
export interface ConnectionSource {
  on(event: string, listener: (stream: Duplex) => void): unknown;
  off(event: string, listener: (stream: Duplex) => void): unknown;
}

/** A method's handler on bytes, for services without a definition. */
export type RawMethod = (payload: Uint8Array, context: CallContext) => Promise<Uint8Array>;

/**
 * A ttrpc server for unary calls. It takes connections and listens nowhere itself. Calls of one connection run at the
 * same time and are answered in whatever order they end. Which error becomes which status: see `statusOf`.
 */
export class TtrpcServer implements AsyncDisposable {
  readonly #services: Map<string, Map<string, RawHandler>> = new Map();
  readonly #connections: Set<ServerConnection> = new Set();
  readonly #maxConnections: number;
  readonly #shared: ServerShared;
  #connectionCount = 0;
  #closed = false;

  constructor(options: TtrpcServerOptions = {}) {
    this.#maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
    this.#shared = {
      clock: options.clock ?? nodeClock,
      maxCallsInFlight: options.maxCallsInFlight ?? MAX_CALLS_IN_FLIGHT,
      maxRequestBytes: options.maxRequestBytes ?? MAX_REQUEST_BYTES,
      maxQueuedBytes: options.maxQueuedBytes ?? MAX_QUEUED_BYTES,
      frameTimeoutMs: options.frameTimeoutMs ?? FRAME_TIMEOUT_MS,
      find: (service, method) => this.#find(service, method),
      ...(options.onCallEnded === undefined ? {} : { onCallEnded: options.onCallEnded }),
    };
  }

  /** Connections that are open. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Calls, of all connections, whose handler runs or whose answer is not accepted yet. */
  get callsInFlight(): number {
    let calls = 0;
    for (const connection of this.#connections) calls += connection.callsInFlight;
    return calls;
  }

  /** Serves a service. Its streaming methods, if any, are answered Unimplemented. Throws if it is there already. */
  register<D extends ServiceDefinition>(definition: D, handlers: ServiceHandlers<D>): void;
  register(
    definition: ServiceDefinition,
    handlers: Readonly<Record<string, UnaryHandler<unknown, unknown> | undefined>>,
  ): void {
    const methods: Record<string, RawMethod> = {};
    for (const [key, method] of Object.entries(definition.methods)) {
      const handler = handlers[key]?.bind(handlers);
      if (handler === undefined || method.requestStream || method.responseStream) continue;
      methods[method.name] = async (payload, context) => {
        const request = decodeOr(() => method.requestType.decode(payload), `${method.name} request`);
        return method.responseType.encode(await handler(request, context)).finish();
      };
    }
    this.registerRaw(definition.fullName, methods);
  }

  /** Serves methods on bytes, by their names on the wire. Throws if the service is there already. */
  registerRaw(service: string, methods: Readonly<Record<string, RawMethod>>): void {
    if (this.#services.has(service)) throw new Error(`ttrpc service ${service} is registered twice`);
    this.#services.set(service, new Map(Object.entries(methods)));
  }

  /** Serves one connection until it ends. The stream is destroyed at once if the server is closed or full. */
  serveConnection(stream: Duplex): ConnectionInfo {
    const connection = new ServerConnection(stream, this.#shared, {
      id: ++this.#connectionCount,
      onClose: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
    if (this.#closed || this.#connections.size > this.#maxConnections) connection.destroy();
    return connection.info;
  }

  /** Serves every connection of a listener. The returned function stops taking new ones; it closes nothing. */
  serveListener(listener: ConnectionSource, eventName = "connection"): () => void {
    const serve = (stream: Duplex): void => {
      this.serveConnection(stream);
    };
    listener.on(eventName, serve);
    return () => {
      listener.off(eventName, serve);
    };
  }

  /**
   * Takes no new connections and calls (Unavailable), waits for the running calls, then closes. An abort of `signal`
   * closes what is left at once. Resolves when all connections are over.
   */
  async shutdown(signal?: AbortSignal): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#connections].map((connection) => connection.drain(signal)));
  }

  /** Closes all connections at once. Running calls are not answered; their signals abort. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#connections) connection.destroy();
  }

  /** As close, and waits until all connections are over. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.shutdown(AbortSignal.abort());
  }

  #find(service: string, method: string): RawHandler | TtrpcError {
    const methods = this.#services.get(service);
    if (methods === undefined)
      return new TtrpcError(TtrpcCode.Unimplemented, `service ${service} is not served here`);
    return (
      methods.get(method) ??
      new TtrpcError(TtrpcCode.Unimplemented, `method ${service}/${method} is not served here`)
    );
  }
}

function decodeOr<T>(decode: () => T, what: string): T {
  try {
    return decode();
  } catch (error) {
    throw new TtrpcError(TtrpcCode.InvalidArgument, `${what} is not valid protobuf: ${textOf(error)}`, {
      cause: error,
    });
  }
}
