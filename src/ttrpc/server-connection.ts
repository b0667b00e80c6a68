import type { Duplex } from "node:stream";
import type { TtrpcClock } from "./clock.ts";
import { type CloseReason, FrameConnection } from "./connection.ts";
import { decodeRequest, type RequestEnvelope, responseParts } from "./envelope.ts";
import { type Frame, FrameFlag, FrameType, MAX_DATA_BYTES } from "./frame.ts";
import { type ConnectionInfo, deadlineExceeded, ServerCall } from "./server-call.ts";
import { type FailureStatus, statusOf, TtrpcCode, TtrpcError, textOf } from "./status.ts";
import { StreamIds } from "./stream-ids.ts";

/** A handler below the codecs: the bytes of the request message in, those of the response out. */
export type RawHandler = (payload: Uint8Array, call: ServerCall) => Promise<Uint8Array>;

/** A call that has ended, for logs and metrics. */
export interface EndedCall {
  readonly service: string;
  readonly method: string;
  readonly connection: ConnectionInfo;
  /** What the peer was answered, or would have been had it stayed. */
  readonly code: number;
  readonly durationMs: number;
  /** What the handler threw. */
  readonly error?: unknown;
}

/** What all connections of a server share. */
export interface ServerShared {
  readonly clock: TtrpcClock;
  readonly maxCallsInFlight: number;
  readonly maxRequestBytes: number;
  readonly maxQueuedBytes: number;
  readonly frameTimeoutMs: number;
  /** The handler, or the error to answer. */
  find(service: string, method: string): RawHandler | TtrpcError;
  onCallEnded?(call: EndedCall): void;
}

/** Requests started before the event loop runs: answers get their turn to fill the queue, other connections theirs. */
const MAX_BURST = 64;

const NO_PAYLOAD = new Uint8Array(0);

/** The server's side of one connection: requests in, answers in whatever order they are ready. */
export class ServerConnection {
  readonly info: ConnectionInfo;
  readonly #shared: ServerShared;
  readonly #connection: FrameConnection;
  readonly #streamIds: StreamIds = new StreamIds();
  readonly #running: Map<number, ServerCall> = new Map();
  readonly #closed: AbortController = new AbortController();
  #requestBytes = 0;
  #burst = 0;
  #draining = false;
  #onRoom: (() => void)[] = [];
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(stream: Duplex, shared: ServerShared, about: { id: number; onClose: () => void }) {
    this.#shared = shared;
    this.info = { id: about.id, closed: this.#closed.signal };
    const { clock, maxQueuedBytes, frameTimeoutMs } = shared;
    this.#connection = new FrameConnection(
      stream,
      {
        onFrame: (frame) => this.#onFrame(frame),
        // As Go's server: a client that closes its side waits for no answers (wire protocol, "peer closes").
        onPeerEnd: () => this.#connection.destroy(),
        onClose: (reason) => {
          this.#onClose(reason);
          about.onClose();
        },
      },
      { clock, maxQueuedBytes, frameTimeoutMs },
    );
  }

  /** Calls whose handler runs or whose answer is not accepted yet. */
  get callsInFlight(): number {
    return this.#running.size;
  }

  /** Refuses new calls, waits for the running ones, then closes; at once when `signal` aborts. */
  async drain(signal?: AbortSignal): Promise<void> {
    this.#draining = true;
    const abort = (): void => this.destroy();
    if (signal?.aborted === true) abort();
    signal?.addEventListener("abort", abort);
    try {
      if (this.#running.size > 0) {
        this.#idle ??= Promise.withResolvers();
        await this.#idle.promise;
      }
      await this.#connection.end(signal);
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  destroy(): void {
    this.#connection.destroy();
  }

  #onClose(reason: CloseReason): void {
    const error = new TtrpcError(TtrpcCode.Cancelled, reason.error.message, { cause: reason.error });
    for (const call of this.#running.values()) call.abort(error);
    this.#closed.abort(error);
    this.#idle?.resolve();
    for (const resume of this.#onRoom.splice(0)) resume();
  }

  #onFrame(frame: Frame): void | Promise<void> {
    const refusal = this.#refusal(frame);
    if (refusal !== undefined) return this.#answer(frame.streamId, refusal);
    if (frame.type !== FrameType.Request) return undefined; // unknown types are to be ignored (PROTOCOL.md)
    let envelope: RequestEnvelope;
    try {
      envelope = decodeRequest(frame.data);
    } catch (error) {
      return this.#answer(frame.streamId, invalid(`the request is not valid protobuf: ${textOf(error)}`));
    }
    const handler = this.#shared.find(envelope.service, envelope.method);
    if (handler instanceof TtrpcError) return this.#answer(frame.streamId, handler);
    if (this.#draining) return this.#answer(frame.streamId, shuttingDown());
    this.#start(frame, envelope, handler);
    return this.#roomForMore();
  }

  /** What is wrong with the frame itself. The stream pays for it, not the connection (Go's server.go does the same). */
  #refusal(frame: Frame): TtrpcError | undefined {
    const { type, streamId, flags } = frame;
    if (type !== FrameType.Request && type !== FrameType.Data) return undefined;
    if (frame.oversizedBytes !== undefined)
      return new TtrpcError(
        TtrpcCode.ResourceExhausted,
        `message of ${frame.oversizedBytes} bytes exceeds the limit of ${MAX_DATA_BYTES} bytes`,
      );
    if (streamId % 2 !== 1) return invalid(`stream id ${streamId} is even; a client's ids are odd`);
    if (type === FrameType.Data) return invalid(`stream ${streamId} takes no data frames`);
    if (!this.#streamIds.use(streamId))
      return invalid(`stream id ${streamId} was used before; ids must rise`);
    if ((flags & (FrameFlag.RemoteOpen | FrameFlag.RemoteClosed)) !== 0)
      return new TtrpcError(
        TtrpcCode.Unimplemented,
        "streaming calls are not supported here, only unary ones",
      );
    return undefined;
  }

  #start(frame: Frame, envelope: RequestEnvelope, handler: RawHandler): void {
    const { clock } = this.#shared;
    const call = new ServerCall(envelope, {
      connection: this.info,
      requestBytes: frame.data.length,
      clock,
    });
    const { streamId } = frame;
    this.#running.set(streamId, call);
    this.#requestBytes += call.requestBytes;
    let outOfTime = false;
    call.onDeadline(() => {
      outOfTime = true;
      call.abort(deadlineExceeded());
      void this.#answer(streamId, deadlineExceeded());
    });
    // A handler that throws before its first await must not throw into the reader.
    const outcome = new Promise<Uint8Array>((resolve) => resolve(handler(envelope.payload, call)));
    void outcome
      .then(
        (payload) => this.#settle(call, { streamId, payload, outOfTime }),
        (error: unknown) => this.#settle(call, { streamId, error, outOfTime }),
      )
      .then(() => this.#release(streamId, call));
  }

  async #settle(
    call: ServerCall,
    end: { streamId: number; payload?: Uint8Array; error?: unknown; outOfTime: boolean },
  ): Promise<void> {
    call.ended();
    const failed = end.payload === undefined;
    let code = failed ? statusOf(end.error).code : TtrpcCode.Ok;
    if (end.outOfTime) code = TtrpcCode.DeadlineExceeded;
    else if (failed) await this.#answer(end.streamId, end.error);
    else await this.#succeed(end.streamId, end.payload ?? NO_PAYLOAD);
    this.#shared.onCallEnded?.({
      service: call.service,
      method: call.method,
      connection: this.info,
      code,
      durationMs: this.#shared.clock.monotonicMs() - call.startedMs,
      ...(failed ? { error: end.error } : {}),
    });
  }

  #release(streamId: number, call: ServerCall): void {
    this.#running.delete(streamId);
    this.#requestBytes -= call.requestBytes;
    if (this.#running.size === 0) this.#idle?.resolve();
    if (this.#onRoom.length > 0 && !this.#full) for (const resume of this.#onRoom.splice(0)) resume();
  }

  get #full(): boolean {
    const { maxCallsInFlight, maxRequestBytes } = this.#shared;
    return this.#running.size >= maxCallsInFlight || this.#requestBytes >= maxRequestBytes;
  }

  /** Undefined if the next request may come at once; else when it may. That wait is what pauses reading. */
  #roomForMore(): Promise<void> | undefined {
    if (this.#full) return new Promise((resolve) => this.#onRoom.push(resolve));
    if (!this.#connection.hasRoom) return this.#connection.room().catch(closedMeanwhile);
    if (++this.#burst < MAX_BURST) return undefined;
    this.#burst = 0;
    return new Promise((resolve) => setImmediate(resolve));
  }

  #succeed(streamId: number, payload: Uint8Array): Promise<void> {
    const data = responseParts({ payload });
    const bytes = data.reduce((sum, part) => sum + part.length, 0);
    if (bytes > MAX_DATA_BYTES) return this.#answer(streamId, responseTooLarge(bytes));
    return this.#connection
      .send({ streamId, type: FrameType.Response, flags: 0, data })
      .catch(closedMeanwhile);
  }

  #answer(streamId: number, error: unknown): Promise<void> {
    const status: FailureStatus = statusOf(error);
    const data = responseParts({ status, payload: NO_PAYLOAD });
    return this.#connection
      .send({ streamId, type: FrameType.Response, flags: 0, data })
      .catch(closedMeanwhile);
  }
}

/** An answer whose connection is over has no reader: nothing is left to do, the handlers' signals have aborted. */
const closedMeanwhile = (): void => undefined;

const invalid = (text: string): TtrpcError => new TtrpcError(TtrpcCode.InvalidArgument, text);
const shuttingDown = (): TtrpcError => new TtrpcError(TtrpcCode.Unavailable, "the server is shutting down");
const responseTooLarge = (bytes: number): TtrpcError =>
  new TtrpcError(
    TtrpcCode.ResourceExhausted,
    `the response of ${bytes} bytes exceeds the limit of ${MAX_DATA_BYTES} bytes`,
  );
