import type { Duplex } from "node:stream";
import { encodeHeader, type Frame, HEADER_BYTES, MAX_DATA_BYTES } from "./frame.ts";
import { TtrpcCode, TtrpcError } from "./status.ts";

/** A frame to send. Its data, in one piece or several, must not change until it has been written. */
export interface OutgoingFrame extends Omit<Frame, "data" | "oversizedBytes"> {
  readonly data: Uint8Array | readonly Uint8Array[];
}

/** Default bound on bytes accepted for sending and not yet taken by the system: two of the largest frames. */
export const MAX_QUEUED_BYTES: number = 2 * MAX_DATA_BYTES;

/** Up to this size a frame is copied behind its header: cheaper than a second buffer for the system to gather. */
const SMALL_FRAME_BYTES = 1024;

interface Waiter {
  /** Undefined for one who waits for room without a frame. */
  readonly frame: OutgoingFrame | undefined;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

const ACCEPTED: Promise<void> = Promise.resolve();

/**
 * The one writer of a stream. Frames leave whole and in the order of `send`. At most `maxQueuedBytes` and one frame are
 * handed to the stream ahead of the peer; the rest waits in `send`, with whoever called it.
 */
export class FrameWriter {
  readonly #stream: Duplex;
  readonly #maxQueuedBytes: number;
  readonly #waiters: Set<Waiter> = new Set();
  #waitingBytes = 0;
  #corked = false;
  #closed: TtrpcError | undefined;

  constructor(stream: Duplex, maxQueuedBytes: number) {
    this.#stream = stream;
    this.#maxQueuedBytes = maxQueuedBytes;
  }

  /** Bytes not yet taken by the system, those of waiting sends included. */
  get queuedBytes(): number {
    return this.#stream.writableLength + this.#waitingBytes;
  }

  /** Whether a send would be accepted at once. */
  get hasRoom(): boolean {
    return this.#waiters.size === 0 && this.#stream.writableLength < this.#maxQueuedBytes;
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
      this.#write(frame, bytes);
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

  /** One function object for all writes: Node batches the completion of writes that share one. */
  readonly #onWritten = (): void => {
    for (const waiter of this.#waiters) {
      if (this.#stream.writableLength >= this.#maxQueuedBytes) return;
      this.#waiters.delete(waiter);
      this.#waitingBytes -= waiter.bytes;
      if (waiter.frame !== undefined) this.#write(waiter.frame, waiter.bytes - HEADER_BYTES);
      waiter.resolve();
    }
  };

  #write(frame: OutgoingFrame, length: number): void {
    // One system call for all frames of this turn of the event loop.
    if (!this.#corked) {
      this.#corked = true;
      this.#stream.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#stream.uncork();
      });
    }
    const { streamId, type, flags, data } = frame;
    const header = encodeHeader({ length, streamId, type, flags });
    const parts = isParts(data) ? data : [data];
    if (length <= SMALL_FRAME_BYTES) {
      this.#stream.write(length === 0 ? header : Buffer.concat([header, ...parts]), this.#onWritten);
      return;
    }
    this.#stream.write(header, this.#onWritten);
    for (const part of parts) this.#stream.write(part, this.#onWritten);
  }
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
