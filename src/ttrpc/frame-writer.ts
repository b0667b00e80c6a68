import type { Duplex } from "node:stream";
import type { BufferPool } from "./buffer-pool.ts";
import { encodeHeader, type Frame, HEADER_BYTES, MAX_DATA_BYTES, writeHeader } from "./frame.ts";
import { TtrpcCode, TtrpcError } from "./status.ts";

/**
 * A frame to send. Its data, in one piece or several, must not change until it has been written. With `framed` that memory is the
 * connection's from when the frame was accepted.
 */
export interface OutgoingFrame extends Omit<Frame, "data" | "oversizedBytes"> {
  readonly data: Uint8Array | readonly Uint8Array[];
}

/** Default bound on bytes accepted for sending and not yet taken by the system: two of the largest frames. */
export const MAX_QUEUED_BYTES: number = 2 * MAX_DATA_BYTES;

/** Up to this size frames that leave together are copied into one buffer; larger ones are written by themselves. */
const SMALL_FRAME_BYTES = 16 * 1024;
/** So many bytes are not kept back for frames that may come in this turn of the event loop. */
const FULL_BATCH_BYTES = 64 * 1024;
/** While less is under way nobody can be waiting for it, and nobody need be told that it was written. */
const WATCHED_BYTES = 16 * 1024;

interface Waiter {
  /** Undefined for one who waits for room without a frame. */
  readonly frame: OutgoingFrame | undefined;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

const ACCEPTED: Promise<void> = Promise.resolve();

export interface FrameWriterOptions {
  readonly maxQueuedBytes: number;
  /** Where the memory of frames with `framed` goes after writing. Only for a stream that keeps nothing of what it has written. */
  readonly buffers?: BufferPool | undefined;
}

/**
 * The one writer of a stream. Frames leave whole and in the order of `send`, those of one turn of the event loop together: one system
 * call, one TLS record. At most `maxQueuedBytes` and one frame are handed to the stream ahead of the peer; the rest waits in
 * `send`, with whoever called it.
 */
export class FrameWriter {
  readonly #stream: Duplex;
  readonly #maxQueuedBytes: number;
  readonly #watchedBytes: number;
  readonly #buffers: BufferPool | undefined;
  readonly #waiters: Set<Waiter> = new Set();
  #waitingBytes = 0;
  /** Accepted, and written at the end of this turn. */
  #batch: OutgoingFrame[] = [];
  #batchBytes = 0;
  #closed: TtrpcError | undefined;

  constructor(stream: Duplex, options: FrameWriterOptions) {
    this.#stream = stream;
    this.#maxQueuedBytes = options.maxQueuedBytes;
    this.#watchedBytes = Math.min(WATCHED_BYTES, options.maxQueuedBytes);
    this.#buffers = options.buffers;
  }

  /** Bytes not yet taken by the system, those of waiting sends included. */
  get queuedBytes(): number {
    return this.#stream.writableLength + this.#batchBytes + this.#waitingBytes;
  }

  /** Whether a send would be accepted at once. */
  get hasRoom(): boolean {
    return this.#waiters.size === 0 && this.#stream.writableLength + this.#batchBytes < this.#maxQueuedBytes;
  }

  /** Accepts the frame if that can be done at once. */
  offer(frame: OutgoingFrame): boolean {
    const bytes = dataLength(frame);
    if (bytes > MAX_DATA_BYTES || this.#closed !== undefined || !this.hasRoom) return false;
    this.#accept(frame, bytes + HEADER_BYTES);
    return true;
  }

  /**
   * Resolves when the frame was accepted under the bound. Rejects with a TtrpcError: ResourceExhausted if the data is
   * over MAX_DATA_BYTES (nothing is sent), Unavailable if the connection closed first, Cancelled if `signal` aborted
   * while the frame was still waiting (it is then not sent).
   */
  send(frame: OutgoingFrame, signal?: AbortSignal): Promise<void> {
    const bytes = dataLength(frame);
    if (bytes > MAX_DATA_BYTES) return Promise.reject(frameTooLarge(bytes));
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    if (this.hasRoom) {
      this.#accept(frame, bytes + HEADER_BYTES);
      return ACCEPTED;
    }
    return this.#wait(frame, bytes + HEADER_BYTES, signal);
  }

  /** Resolves when a send would be accepted at once; rejects as `send` does. */
  room(): Promise<void> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    return this.hasRoom ? ACCEPTED : this.#wait(undefined, 0);
  }

  /** Fails all that wait and all later sends with `error`. */
  close(error: TtrpcError): void {
    this.#closed ??= error;
    this.#batch = [];
    this.#batchBytes = 0;
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    this.#waitingBytes = 0;
    for (const waiter of waiters) waiter.reject(error);
  }

  #wait(frame: OutgoingFrame | undefined, bytes: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(cancelled(signal));
    return new Promise((resolve, reject) => {
      const settled = (): void => signal?.removeEventListener("abort", onAbort);
      const waiter: Waiter = {
        frame,
        bytes,
        resolve() {
          settled();
          resolve();
        },
        reject(error) {
          settled();
          reject(error);
        },
      };
      const onAbort = (): void => {
        if (!this.#waiters.delete(waiter)) return;
        this.#waitingBytes -= bytes;
        if (signal !== undefined) waiter.reject(cancelled(signal));
        this.#onWritten();
      };
      signal?.addEventListener("abort", onAbort);
      this.#waiters.add(waiter);
      this.#waitingBytes += bytes;
    });
  }

  /** Hands what was accepted to the stream now. */
  readonly flush = (): void => {
    if (this.#batch.length === 0) return;
    // The peer has left meanwhile. A write would be an error, and cost what came from it and is not delivered yet.
    if (!this.#stream.writable) {
      this.#batch = [];
      this.#batchBytes = 0;
      return;
    }
    const joined = Buffer.allocUnsafe(this.#batchBytes);
    let at = 0;
    for (const frame of this.#batch) at = copyFrame(frame, joined, at);
    this.#batch = [];
    this.#batchBytes = 0;
    const watched = this.#waiters.size > 0 || this.#stream.writableLength + at >= this.#watchedBytes;
    if (watched) this.#stream.write(joined, this.#onWritten);
    else this.#stream.write(joined);
  };

  /** One function object for all writes: Node batches the completion of writes that share one. */
  readonly #onWritten = (error?: Error | null): void => {
    // The stream is about to close: who waits is told then that nothing was sent.
    if (error instanceof Error) return;
    for (const waiter of this.#waiters) {
      if (this.#stream.writableLength + this.#batchBytes >= this.#maxQueuedBytes) return;
      this.#waiters.delete(waiter);
      this.#waitingBytes -= waiter.bytes;
      if (waiter.frame !== undefined) this.#accept(waiter.frame, waiter.bytes);
      waiter.resolve();
    }
  };

  #accept(frame: OutgoingFrame, bytes: number): void {
    if (bytes > SMALL_FRAME_BYTES) {
      this.flush();
      this.#writeLarge(frame, bytes);
      return;
    }
    this.#batch.push(frame);
    this.#batchBytes += bytes;
    if (this.#batchBytes >= FULL_BATCH_BYTES) this.flush();
    // Not at the end of this callback: of many answers that come in at once each is a callback of its own.
    else if (this.#batch.length === 1) setImmediate(this.flush);
  }

  #writeLarge(frame: OutgoingFrame, bytes: number): void {
    const { streamId, type, flags, data, framed } = frame;
    const header = { length: bytes - HEADER_BYTES, streamId, type, flags };
    if (framed !== undefined) {
      writeHeader(framed, 0, header);
      this.#stream.write(framed, (error) => {
        if (!(error instanceof Error)) this.#buffers?.give(framed);
        this.#onWritten(error);
      });
      return;
    }
    this.#stream.cork();
    this.#stream.write(encodeHeader(header), this.#onWritten);
    for (const part of isParts(data) ? data : [data]) this.#stream.write(part, this.#onWritten);
    this.#stream.uncork();
  }
}

/** Copies header and data to `at`; returns where the next frame goes. */
function copyFrame(frame: OutgoingFrame, into: Buffer, at: number): number {
  const { streamId, type, flags, data } = frame;
  writeHeader(into, at, { length: dataLength(frame), streamId, type, flags });
  let end = at + HEADER_BYTES;
  if (!isParts(data)) {
    into.set(data, end);
    return end + data.length;
  }
  for (const part of data) {
    into.set(part, end);
    end += part.length;
  }
  return end;
}

const isParts = (data: Uint8Array | readonly Uint8Array[]): data is readonly Uint8Array[] =>
  Array.isArray(data);

function dataLength(frame: OutgoingFrame): number {
  const { data } = frame;
  if (!isParts(data)) return data.length;
  let bytes = 0;
  for (const part of data) bytes += part.length;
  return bytes;
}

/** The error for a message that is too large to send. */
export function frameTooLarge(bytes: number): TtrpcError {
  return new TtrpcError(
    TtrpcCode.ResourceExhausted,
    `message of ${bytes} bytes exceeds the limit of ${MAX_DATA_BYTES} bytes; send it in pieces`,
  );
}

/** The error for a call or a send whose caller gave up: DeadlineExceeded if it was for want of time. */
export function cancelled(signal: AbortSignal): TtrpcError {
  const reason: unknown = signal.reason;
  const timedOut = reason instanceof Error && reason.name === "TimeoutError";
  return timedOut
    ? new TtrpcError(TtrpcCode.DeadlineExceeded, "deadline exceeded", { cause: reason })
    : new TtrpcError(TtrpcCode.Cancelled, "cancelled by the caller", { cause: reason });
}
