import { setTimeout as sleepFor } from "node:timers/promises";

/** Time, as an argument, so that tests own it. */
export interface Clock {
  /** Milliseconds since the epoch. Jumps when the machine's clock is set. */
  wallMs(): number;
  /** Milliseconds since some start; never goes back. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** A signal that aborts with a TimeoutError after `ms`. Does not keep the process alive. */
  timeout(ms: number): AbortSignal;
  /** Calls `fn` once after `ms` unless the returned function is called first. Does not keep the process alive. */
  schedule(ms: number, fn: () => void): () => void;
}

/** The longest delay that a Node timer takes; longer ones would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Node takes whole milliseconds only for a signal, and for the others drops what is behind the point: rounded up, nothing comes too early. */
const clampDelay = (ms: number): number => Math.min(Math.max(0, Math.ceil(ms)), MAX_TIMER_MS);

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  async sleep(ms, signal) {
    signal?.throwIfAborted();
    try {
      await sleepFor(clampDelay(ms), undefined, signal ? { signal } : {});
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
  timeout: (ms) => AbortSignal.timeout(clampDelay(ms)),
  schedule(ms, fn) {
    const timer = setTimeout(fn, clampDelay(ms)).unref();
    return () => clearTimeout(timer);
  },
};
