import type { Duplex } from "node:stream";
import type { BufferPool } from "./buffer-pool.ts";
import { nodeClock, type TtrpcClock } from "./clock.ts";
import type { DirectReads } from "./direct-reads.ts";
import type { Frame } from "./frame.ts";
import { FrameDecoder } from "./frame-decoder.ts";
import { FrameWriter, MAX_QUEUED_BYTES, type OutgoingFrame } from "./frame-writer.ts";
import { TtrpcCode, TtrpcError, textOf } from "./status.ts";

/** Default bound on frames read ahead of a consumer that lags, in bytes with a surcharge per frame. */
export const READ_AHEAD_BYTES: number = 256 * 1024;
/** What a frame that waits costs besides its data, bytes: about its objects. */
const FRAME_COST_BYTES = 256;
/** Default time within which a frame that began must be complete; an honest peer writes it at once. */
export const FRAME_TIMEOUT_MS: number = 5 * 60_000;
/** How long `end` waits for the peer to close after everything was written. */
export const LINGER_MS = 1000;

/** Why a connection is over. */
export interface CloseReason {
  /** `us`: end() or destroy() was called; `peer`: it closed in an orderly way; `failure`: anything else. */
  readonly by: "us" | "peer" | "failure";
  /** Code Unavailable, and a text that says what happened. */
  readonly error: TtrpcError;
}

/** Who uses a connection. */
export interface FrameHandlers {
  /**
   * Called for each frame in order. While a returned promise is pending no further frame comes, and the stream is
   * paused once READ_AHEAD_BYTES have come in. A throw or a rejection destroys the connection.
   */
  onFrame(frame: Frame): void | Promise<void>;
  /**
   * The peer will send no more. Called at once, also while `onFrame` is pending; frames already received still come,
   * then the connection closes by itself. A consumer that does not want to wait for that calls destroy().
   */
  onPeerEnd?(): void;
  /** Called exactly once, last. */
  onClose(reason: CloseReason): void;
}

export interface FrameConnectionOptions {
  /** See MAX_QUEUED_BYTES, the default. */
  readonly maxQueuedBytes?: number;
  /** See READ_AHEAD_BYTES, the default. */
  readonly readAheadBytes?: number;
  /** See FRAME_TIMEOUT_MS, the default. 0: none. */
  readonly frameTimeoutMs?: number;
  readonly clock?: TtrpcClock;
  /** Whose `onread` the stream was made with; without, the stream is read as any other. */
  readonly reads?: DirectReads | undefined;
  /**
   * Memory of large frames, for one who passes them on: it is taken from there when one comes in, and goes back there when one with
   * `framed` has been written. Only for a stream that keeps nothing of what it has written, as sockets.
   */
  readonly buffers?: BufferPool | undefined;
}

/** Delivered places in the list of frames that are kept before it is shortened. */
const COMPACT_AFTER = 256;

/** Frames over a byte stream (net.Socket, tls.TLSSocket, half of a pair in memory). Owns the stream and destroys it. */
export class FrameConnection {
  readonly #stream: Duplex;
  readonly #handlers: FrameHandlers;
  readonly #writer: FrameWriter;
  readonly #decoder: FrameDecoder;
  readonly #readAheadBytes: number;
  readonly #frameTimeoutMs: number;
  readonly #clock: TtrpcClock;
  readonly #closed: PromiseWithResolvers<void> = Promise.withResolvers();
  #undelivered: (Frame | undefined)[] = [];
  #delivered = 0;
  #undeliveredBytes = 0;
  #consuming = false;
  #peerEnded = false;
  /** The stream has closed, and frames that came before are not delivered yet. */
  #closedEarly = false;
  #ending = false;
  #reason: CloseReason | undefined;
  #framesBegun = 0;
  #cancelFrameTimer: (() => void) | undefined;

  constructor(stream: Duplex, handlers: FrameHandlers, options: FrameConnectionOptions = {}) {
    this.#stream = stream;
    this.#handlers = handlers;
    const { maxQueuedBytes = MAX_QUEUED_BYTES, buffers, reads } = options;
    this.#writer = new FrameWriter(stream, { maxQueuedBytes, buffers });
    this.#decoder = new FrameDecoder(buffers);
    this.#readAheadBytes = options.readAheadBytes ?? READ_AHEAD_BYTES;
    this.#frameTimeoutMs = options.frameTimeoutMs ?? FRAME_TIMEOUT_MS;
    this.#clock = options.clock ?? nodeClock;
    stream.on("error", (error) => this.#finish("failure", `connection failed: ${textOf(error)}`, error));
    stream.once("close", () => this.#onStreamClosed());
    stream.once("end", () => this.#onPeerEnd());
    if (reads === undefined) stream.on("data", (chunk: Buffer) => this.#onFrames(this.#decoder.push(chunk)));
    else {
      reads.attach({ decoder: this.#decoder, onFrames: (frames) => this.#onFrames(frames) });
      process.nextTick(() => this.#readDirectly(reads)); // Frames are for one who has this connection.
    }
    if (stream.destroyed) process.nextTick(() => this.#onStreamClosed());
  }

  /** Bytes not yet taken by the system, those of waiting sends included. */
  get queuedBytes(): number {
    return this.#writer.queuedBytes;
  }

  /** Whether a send would be accepted at once. */
  get hasRoom(): boolean {
    return this.#writer.hasRoom;
  }

  /** Why the connection is over, or undefined while it is not. */
  get closeReason(): CloseReason | undefined {
    return this.#reason;
  }

  /**
   * Sends a frame, whole and in the order of the calls. Resolves when it was accepted under the bound on queued bytes
   * (not when the peer has it): who waits for that before making the next frame keeps memory bounded. Rejects with a
   * TtrpcError: ResourceExhausted for data over MAX_DATA_BYTES (nothing is sent, the connection lives), Unavailable
   * when the connection is over, Cancelled when `signal` aborted while the frame was still waiting (it is not sent).
   */
  send(frame: OutgoingFrame, signal?: AbortSignal): Promise<void> {
    if ((this.#ending || this.#peerEnded) && this.#reason === undefined) return Promise.reject(closing());
    return this.#writer.send(frame, signal);
  }

  /** Sends as `send` does if that can be done at once; false: nothing was sent, and `send` would wait or say why not. */
  offer(frame: OutgoingFrame): boolean {
    return !this.#ending && !this.#peerEnded && this.#writer.offer(frame);
  }

  /** Resolves when a send would be accepted at once; rejects when the connection is over. */
  room(): Promise<void> {
    return this.#writer.room();
  }

  /**
   * Closes in an orderly way: delivers nothing more, writes all that was accepted or waits in `send`, then closes.
   * Resolves when the connection is over. An abort of `signal` destroys it at once, so a peer that does not read
   * cannot hold it for ever; after all is written the peer has LINGER_MS to close its side.
   */
  async end(signal?: AbortSignal): Promise<void> {
    const abort = (): void => this.destroy();
    if (signal?.aborted === true) abort();
    signal?.addEventListener("abort", abort);
    try {
      if (!this.#ending && this.#reason === undefined) await this.#flushAndClose();
      await this.#closed.promise;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Closes at once. What was accepted and the system does not take now is lost. */
  destroy(error?: Error): void {
    this.#writer.flush();
    if (error === undefined) this.#finish("us", "connection closed");
    else this.#finish("failure", `connection closed: ${error.message}`, error);
  }

  /** Begins with what came before there was a connection. */
  #readDirectly(reads: DirectReads): void {
    if (this.#reason !== undefined) return;
    reads.takeEarly();
    if (!this.#stream.isPaused()) this.#stream.resume();
  }

  async #flushAndClose(): Promise<void> {
    this.#ending = true;
    this.#dropUndelivered();
    this.#cancelFrameTimer?.();
    // Unread input would make the system reset the connection and the peer lose our last bytes.
    this.#stream.resume();
    try {
      await this.#writer.room();
    } catch {
      return; // It closed meanwhile: the caller waits for just that.
    }
    this.#writer.flush();
    this.#stream.end(() => {
      if (this.#reason !== undefined) return;
      const cancel = this.#clock.schedule(LINGER_MS, () => this.destroy());
      void this.#closed.promise.then(cancel);
    });
  }

  #onFrames(frames: readonly Frame[]): void {
    if (this.#ending || this.#reason !== undefined) return;
    this.#framesBegun += frames.length;
    this.#watchFrame();
    for (const frame of frames) {
      if (this.#allDelivered) {
        this.#hand(frame);
        if (this.#ending || this.#reason !== undefined) return;
      } else {
        this.#undelivered.push(frame);
        this.#undeliveredBytes += frame.data.length + FRAME_COST_BYTES;
      }
    }
    this.#readOn();
  }

  #deliver(): void {
    for (let frame = this.#nextFrame(); frame !== undefined; frame = this.#nextFrame()) this.#hand(frame);
    this.#readOn();
  }

  #readOn(): void {
    if (this.#ending || this.#reason !== undefined) return;
    if (this.#allDelivered && this.#peerEnded) this.#finishPeerEnd();
    else if (this.#undeliveredBytes >= this.#readAheadBytes) this.#stream.pause();
    else if (this.#stream.isPaused()) this.#stream.resume();
  }

  get #allDelivered(): boolean {
    return !this.#consuming && this.#delivered === this.#undelivered.length;
  }

  #nextFrame(): Frame | undefined {
    if (this.#consuming) return undefined;
    const frame = this.#undelivered[this.#delivered];
    if (frame === undefined) return undefined;
    this.#undelivered[this.#delivered++] = undefined; // its data must not live as long as this list
    this.#undeliveredBytes -= frame.data.length + FRAME_COST_BYTES;
    if (this.#delivered === this.#undelivered.length || this.#delivered === COMPACT_AFTER) {
      this.#undelivered.splice(0, this.#delivered);
      this.#delivered = 0;
    }
    return frame;
  }

  #dropUndelivered(): void {
    this.#undelivered = [];
    this.#delivered = 0;
    this.#undeliveredBytes = 0;
  }

  #hand(frame: Frame): void {
    try {
      const consumed = this.#handlers.onFrame(frame);
      if (consumed === undefined) return;
      this.#consuming = true;
      consumed.then(this.#onConsumed, this.#onConsumerFailed);
    } catch (error) {
      this.#onConsumerFailed(error);
    }
  }

  readonly #onConsumed = (): void => {
    this.#consuming = false;
    if (!this.#ending && this.#reason === undefined) this.#deliver();
  };

  readonly #onConsumerFailed = (error: unknown): void => {
    this.#finish("failure", `connection closed: ${textOf(error)}`, error);
  };

  #onPeerEnd(): void {
    if (this.#reason !== undefined) return;
    this.#peerEnded = true;
    if (this.#ending) {
      // The peer has closed too: nothing is left to linger for, only our own bytes.
      if (this.#stream.writableFinished) this.destroy();
      return;
    }
    this.#handlers.onPeerEnd?.();
    if (this.#allDelivered) this.#finishPeerEnd();
  }

  #finishPeerEnd(): void {
    if (this.#reason !== undefined) return;
    if (this.#decoder.atBoundary) this.#finish("peer", "connection closed by the peer");
    else this.#finish("failure", "connection closed by the peer in the middle of a frame");
  }

  #onStreamClosed(): void {
    // A socket closes by itself once its peer has ended; what came before that is delivered all the same.
    if (this.#reason === undefined && this.#peerEnded && !this.#ending && !this.#allDelivered) {
      this.#closedEarly = true;
      return;
    }
    this.#finish(this.#ending ? "us" : "failure", this.#ending ? "connection closed" : "connection lost");
    this.#cancelFrameTimer?.();
    const reason = this.#reason;
    this.#closed.resolve();
    if (reason !== undefined) this.#handlers.onClose(reason);
  }

  /** The first reason counts. `onClose` follows when the stream has closed. */
  #finish(by: CloseReason["by"], message: string, cause?: unknown): void {
    if (this.#reason !== undefined) return;
    const error = new TtrpcError(TtrpcCode.Unavailable, message, cause === undefined ? undefined : { cause });
    this.#reason = { by, error };
    this.#dropUndelivered();
    this.#cancelFrameTimer?.();
    this.#writer.close(error);
    if (this.#closedEarly) process.nextTick(() => this.#onStreamClosed());
    else this.#stream.destroy();
  }

  /** Ends a connection whose peer began a frame and does not finish it. Our own pauses do not count against it. */
  #watchFrame(): void {
    if (this.#frameTimeoutMs === 0 || this.#decoder.atBoundary || this.#cancelFrameTimer !== undefined)
      return;
    const begun = this.#framesBegun;
    this.#cancelFrameTimer = this.#clock.schedule(this.#frameTimeoutMs, () => {
      this.#cancelFrameTimer = undefined;
      const stalled = !this.#decoder.atBoundary && this.#framesBegun === begun && !this.#stream.isPaused();
      if (stalled) {
        const message = `connection closed: a frame was not complete within ${this.#frameTimeoutMs} ms`;
        this.#finish("failure", message);
      } else this.#watchFrame();
    });
  }
}

const closing = (): TtrpcError => new TtrpcError(TtrpcCode.Unavailable, "connection is closing");
