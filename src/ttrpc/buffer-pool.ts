import { nodeClock, type TtrpcClock } from "./clock.ts";

/** Sizes are rounded up to this, so that frames of about one size can use one another's memory. */
const STEP_BYTES = 16 * 1024;
/** Default bound on what is kept for the next frame. */
const MAX_FREE_BYTES = 4 * 1024 * 1024;
/** Default time after which what nobody took is given back. */
const IDLE_MS = 2000;

/**
 * Memory for large frames that are passed on. Node frees a buffer when its garbage is collected, and lets tens of megabytes of
 * them gather before that; memory that is given back here is used for the next frame, or freed at once.
 */
export class BufferPool {
  readonly #clock: TtrpcClock;
  readonly #maxFreeBytes: number;
  readonly #idleMs: number;
  readonly #lent: WeakSet<ArrayBuffer> = new WeakSet();
  #free: ArrayBuffer[] = [];
  #freeBytes = 0;
  #takenSince = false;
  #watched = false;

  constructor(options: { clock?: TtrpcClock; maxFreeBytes?: number; idleMs?: number } = {}) {
    this.#clock = options.clock ?? nodeClock;
    this.#maxFreeBytes = options.maxFreeBytes ?? MAX_FREE_BYTES;
    this.#idleMs = options.idleMs ?? IDLE_MS;
  }

  /** Bytes that are kept for the next frames. */
  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** A buffer of this length, with anything in it. */
  take(bytes: number): Buffer {
    const size = Math.ceil(bytes / STEP_BYTES) * STEP_BYTES;
    this.#takenSince = true;
    const index = this.#free.findIndex((free) => free.byteLength === size);
    const [kept] = index < 0 ? [] : this.#free.splice(index, 1);
    if (kept !== undefined) this.#freeBytes -= size;
    const memory = kept ?? Buffer.allocUnsafeSlow(size).buffer;
    this.#lent.add(memory);
    return Buffer.from(memory, 0, bytes);
  }

  /** Takes back a buffer that `take` gave; any other is let alone. Nobody may use it, or a view of it, any more. */
  give(buffer: Buffer): void {
    const memory = buffer.buffer;
    if (!(memory instanceof ArrayBuffer) || !this.#lent.delete(memory)) return;
    this.#free.push(memory);
    this.#freeBytes += memory.byteLength;
    while (this.#freeBytes > this.#maxFreeBytes) this.#releaseOldest();
    if (!this.#watched) this.#watch();
  }

  #watch(): void {
    this.#watched = true;
    this.#takenSince = false;
    this.#clock.schedule(this.#idleMs, () => this.#onTime());
  }

  #onTime(): void {
    if (this.#takenSince) {
      this.#watch();
      return;
    }
    this.#watched = false;
    while (this.#free.length > 0) this.#releaseOldest();
  }

  #releaseOldest(): void {
    const memory = this.#free.shift();
    if (memory === undefined) return;
    this.#freeBytes -= memory.byteLength;
    // Frees it now: a buffer without memory of its own is all that stays.
    memory.transfer(0);
  }
}
