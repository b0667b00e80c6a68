import type { Duplex } from "node:stream";
import { nodeClock, scheduleAt, type TtrpcClock } from "./clock.ts";
import { type CloseReason, FrameConnection } from "./connection.ts";
import type { RequestOf, ResponseOf, ServiceDefinition } from "./definition.ts";
import { decodeResponse, type Metadata, type ResponseEnvelope, requestParts } from "./envelope.ts";
import { type Frame, FrameType } from "./frame.ts";
import { cancelled } from "./frame-writer.ts";
import { TtrpcCode, TtrpcError, textOf } from "./status.ts";

/** How one call is made. */
export interface CallOptions {
  /** The caller's time, milliseconds: sent along, and enforced here too. None if absent. */
  readonly timeoutMs?: number;
  /** The same in nanoseconds, for a timeout that is passed on exactly; 0 is none. Goes before timeoutMs. */
  readonly timeoutNano?: bigint;
  /** Sent as it is: lower-case keys, which may repeat. */
  readonly metadata?: Metadata;
  /** Gives the call up. ttrpc has no cancel: the server goes on, its late answer is dropped. */
  readonly signal?: AbortSignal;
}

export interface TtrpcClientOptions {
  readonly clock?: TtrpcClock;
  /** Bound on requests accepted and not yet taken by the system; see MAX_QUEUED_BYTES, the default. */
  readonly maxQueuedBytes?: number;
}

interface Pending {
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (error: TtrpcError) => void;
}

const MAX_STREAM_ID = 2 ** 32 - 1;
const NANOS_PER_MS = 1e6;
/** The largest int64, which is how long "as good as never" can be on the wire. */
const MAX_TIMEOUT_NANO = 2n ** 63n - 1n;

/** A ttrpc client for unary calls: one connection, any number of calls at once. It never dials again. */
export class TtrpcClient implements AsyncDisposable {
  readonly #connection: FrameConnection;
  readonly #clock: TtrpcClock;
  readonly #pending: Map<number, Pending> = new Map();
  readonly #closed: PromiseWithResolvers<CloseReason> = Promise.withResolvers();
  #nextStreamId = 1;

  /** Owns `stream` from now on. */
  constructor(stream: Duplex, options: TtrpcClientOptions = {}) {
    const { maxQueuedBytes } = options;
    this.#clock = options.clock ?? nodeClock;
    this.#connection = new FrameConnection(
      stream,
      { onFrame: (frame) => this.#onFrame(frame), onClose: (reason) => this.#onClose(reason) },
      { clock: this.#clock, ...(maxQueuedBytes === undefined ? {} : { maxQueuedBytes }) },
    );
  }

  /** Calls that wait for their answer. */
  get callsInFlight(): number {
    return this.#pending.size;
  }

  /** Resolves with the reason when the connection is over; never rejects. */
  get closed(): Promise<CloseReason> {
    return this.#closed.promise;
  }

  /**
   * Calls a method with the bytes of its request message; resolves with those of the response. Rejects with a
   * TtrpcError: the peer's status; DeadlineExceeded; Cancelled when `signal` aborted; ResourceExhausted when request or
   * response is too large; Internal when the response is not valid; Unavailable when the connection is over.
   */
  call(service: string, method: string, payload: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    const { signal } = options;
    const timeoutNano = options.timeoutNano ?? toNano(options.timeoutMs);
    if (this.#connection.closeReason !== undefined) return Promise.reject(this.#connection.closeReason.error);
    if (signal?.aborted === true) return Promise.reject(cancelled(signal));
    if (timeoutNano < 0n) return Promise.reject(deadlineExceeded(service, method));
    if (this.#nextStreamId > MAX_STREAM_ID) return Promise.reject(idsUsedUp());
    const streamId = this.#nextStreamId;
    this.#nextStreamId += 2;
    const data = requestParts({ service, method, payload, timeoutNano, metadata: options.metadata ?? [] });
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const abandoned = new AbortController();
    const fail = (error: TtrpcError): void => {
      if (!this.#pending.has(streamId)) return;
      end();
      reject(error);
      abandoned.abort();
    };
    const onAbort = (): void => signal && fail(cancelled(signal));
    const cancelTimer = this.#armDeadline(timeoutNano, () => fail(deadlineExceeded(service, method)));
    const end = (): void => {
      this.#pending.delete(streamId);
      cancelTimer();
      signal?.removeEventListener("abort", onAbort);
    };
    const finished = (answer: Uint8Array): void => {
      end();
      resolve(answer);
    };
    this.#pending.set(streamId, { resolve: finished, reject: fail });
    signal?.addEventListener("abort", onAbort);
    const frame = { streamId, type: FrameType.Request, flags: 0, data };
    this.#connection.send(frame, abandoned.signal).catch((error: unknown) => fail(asTtrpcError(error)));
    return promise;
  }

  /** Closes at once; what is pending fails with Unavailable. */
  close(): void {
    this.#connection.destroy();
    this.#failAll(closedHere());
  }

  /** As close, and waits until the stream is closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.#closed.promise;
  }

  #armDeadline(timeoutNano: bigint, fn: () => void): () => void {
    if (timeoutNano === 0n) return () => undefined;
    return scheduleAt(this.#clock, this.#clock.monotonicMs() + Number(timeoutNano) / NANOS_PER_MS, fn);
  }

  #onFrame(frame: Frame): void {
    // Unknown streams are calls that were given up; unknown types are to be ignored (containerd/ttrpc PROTOCOL.md).
    if (frame.type !== FrameType.Response && frame.type !== FrameType.Data) return;
    const pending = this.#pending.get(frame.streamId);
    if (pending === undefined) return;
    try {
      pending.resolve(payloadOf(frame));
    } catch (error) {
      pending.reject(asTtrpcError(error));
    }
  }

  #onClose(reason: CloseReason): void {
    this.#failAll(reason.error);
    this.#closed.resolve(reason);
  }

  #failAll(error: TtrpcError): void {
    for (const pending of [...this.#pending.values()]) pending.reject(error);
  }
}

/** Typed methods of a service, by the keys of its definition. */
export type ServiceClient<D extends ServiceDefinition> = {
  readonly [K in keyof D["methods"]]: (
    request: RequestOf<D["methods"][K]>,
    options?: CallOptions,
  ) => Promise<ResponseOf<D["methods"][K]>>;
};

/** The methods of a service over a client. They reject as `TtrpcClient.call` does. */
export function createClient<D extends ServiceDefinition>(
  definition: D,
  client: TtrpcClient,
): ServiceClient<D>;
export function createClient(
  definition: ServiceDefinition,
  client: TtrpcClient,
): Record<string, (request: unknown, options?: CallOptions) => Promise<unknown>> {
  const methods: Record<string, (request: unknown, options?: CallOptions) => Promise<unknown>> = {};
  for (const [key, { name, requestType, responseType }] of Object.entries(definition.methods)) {
    methods[key] = async (request, options) => {
      const payload = requestType.encode(request).finish();
      const answer = await client.call(definition.fullName, name, payload, options);
      return decodeOr(() => responseType.decode(answer), `${name} response`);
    };
  }
  return methods;
}

function payloadOf(frame: Frame): Uint8Array {
  if (frame.oversizedBytes !== undefined)
    throw new TtrpcError(
      TtrpcCode.ResourceExhausted,
      `the response of ${frame.oversizedBytes} bytes exceeds the limit of the protocol`,
    );
  if (frame.type === FrameType.Data)
    throw new TtrpcError(TtrpcCode.Internal, "the server answered a unary call with a stream");
  const response: ResponseEnvelope = decodeOr(() => decodeResponse(frame.data), "response");
  const { status } = response;
  if (status !== undefined && status.code !== 0) throw new TtrpcError(status.code, status.message);
  return response.payload;
}

function toNano(timeoutMs: number | undefined): bigint {
  if (timeoutMs === undefined || timeoutMs === Number.POSITIVE_INFINITY) return 0n;
  // 0 means "none" on the wire, so no time at all becomes a negative number, which fails at once.
  if (!(timeoutMs > 0)) return -1n;
  const nano = BigInt(Math.max(1, Math.round(timeoutMs * NANOS_PER_MS)));
  return nano > MAX_TIMEOUT_NANO ? MAX_TIMEOUT_NANO : nano;
}

function decodeOr<T>(decode: () => T, what: string): T {
  try {
    return decode();
  } catch (error) {
    throw new TtrpcError(TtrpcCode.Internal, `${what} is not valid protobuf: ${textOf(error)}`, {
      cause: error,
    });
  }
}

function asTtrpcError(error: unknown): TtrpcError {
  return error instanceof TtrpcError
    ? error
    : new TtrpcError(TtrpcCode.Internal, textOf(error), { cause: error });
}

const deadlineExceeded = (service: string, method: string): TtrpcError =>
  new TtrpcError(
    TtrpcCode.DeadlineExceeded,
    `deadline exceeded: ${service}/${method} was not answered in time`,
  );
const idsUsedUp = (): TtrpcError =>
  new TtrpcError(TtrpcCode.Unavailable, "the connection's stream ids are used up; open a new one");
const closedHere = (): TtrpcError => new TtrpcError(TtrpcCode.Unavailable, "connection closed");
