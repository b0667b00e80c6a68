import { scheduleAt, type TtrpcClock } from "./clock.ts";
import type { Metadata, RequestEnvelope } from "./envelope.ts";
import { TtrpcCode, TtrpcError } from "./status.ts";

/** The connection on which a call came. */
export interface ConnectionInfo {
  /** Counts from 1 within a server. */
  readonly id: number;
  /** Aborts when the connection is over. */
  readonly closed: AbortSignal;
}

/** What a handler knows of its call. */
export interface CallContext {
  readonly service: string;
  readonly method: string;
  /** In wire order; keys are lower case and may repeat. */
  readonly metadata: Metadata;
  readonly connection: ConnectionInfo;
  /**
   * Aborts with a TtrpcError when nobody waits for the answer any more: DeadlineExceeded when the caller's time is
   * over, Cancelled when its connection is. A handler that must go on all the same need not look at it.
   */
  readonly signal: AbortSignal;
  /** What is left of the caller's time, milliseconds, not below 0; undefined if it set no deadline. */
  remainingMs(): number | undefined;
}

const NANOS_PER_MS = 1e6;

/** One running call: its context and its end. */
export class ServerCall implements CallContext {
  readonly service: string;
  readonly method: string;
  readonly metadata: Metadata;
  readonly connection: ConnectionInfo;
  /** Bytes of the request, held while the call runs. */
  readonly requestBytes: number;
  readonly startedMs: number;
  readonly #clock: TtrpcClock;
  readonly #deadlineMs: number | undefined;
  #controller: AbortController | undefined;
  #abortReason: TtrpcError | undefined;
  #cancelTimer: (() => void) | undefined;

  constructor(
    envelope: RequestEnvelope,
    about: { connection: ConnectionInfo; requestBytes: number; clock: TtrpcClock },
  ) {
    this.service = envelope.service;
    this.method = envelope.method;
    this.metadata = envelope.metadata;
    this.connection = about.connection;
    this.requestBytes = about.requestBytes;
    this.#clock = about.clock;
    this.startedMs = this.#clock.monotonicMs();
    const { timeoutNano } = envelope;
    if (timeoutNano !== 0n) this.#deadlineMs = this.startedMs + Number(timeoutNano) / NANOS_PER_MS;
  }

  get signal(): AbortSignal {
    // Made when first asked for: most handlers never look.
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  remainingMs(): number | undefined {
    return this.#deadlineMs === undefined
      ? undefined
      : Math.max(0, this.#deadlineMs - this.#clock.monotonicMs());
  }

  /** Calls `fn` once when the caller's time is over, unless the call ended first. */
  onDeadline(fn: () => void): void {
    if (this.#deadlineMs !== undefined) this.#cancelTimer = scheduleAt(this.#clock, this.#deadlineMs, fn);
  }

  /** Aborts the handler's signal; the first reason counts. */
  abort(reason: TtrpcError): void {
    if (this.#abortReason !== undefined) return;
    this.#abortReason = reason;
    this.#cancelTimer?.();
    this.#controller?.abort(reason);
  }

  /** The handler has settled: no deadline any more. */
  ended(): void {
    this.#cancelTimer?.();
  }
}

export const deadlineExceeded = (): TtrpcError =>
  new TtrpcError(TtrpcCode.DeadlineExceeded, "deadline exceeded");
