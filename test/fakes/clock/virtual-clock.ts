import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../../../src/platform/index.ts";

interface Timer {
  readonly dueMs: number;
  readonly fire: () => void;
}

/** Turns of the event loop with nothing to do before time moves: promise chains and immediate callbacks get done first. */
const SETTLE_TURNS = 3;

/**
 * Time that passes only when nothing else happens: as soon as the event loop is idle, it jumps to the next timer. Hours go
 * by in milliseconds and in the same order every run. What waits for a real socket or process must hold the clock
 * meanwhile (`hold`), or timeouts would overtake it.
 */
export class VirtualClock implements Clock {
  readonly #startMs: number;
  readonly #timers = new Set<Timer>();
  #nowMs: number;
  #held = 0;
  #running = false;

  constructor(startMs: number = Date.UTC(2026, 10, 23)) {
    this.#startMs = startMs;
    this.#nowMs = startMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs - this.#startMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = (): void => {
        stop();
        reject(signal?.reason);
      };
      const stop = this.schedule(ms, () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      });
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  timeout(ms: number): AbortSignal {
    const controller = new AbortController();
    this.schedule(ms, () => controller.abort(new DOMException(`timed out after ${ms} ms`, "TimeoutError")));
    return controller.signal;
  }

  schedule(ms: number, fn: () => void): () => void {
    const timer = { dueMs: this.#nowMs + Math.max(0, ms), fire: fn };
    this.#timers.add(timer);
    void this.#run();
    return () => {
      this.#timers.delete(timer);
    };
  }

  /** Time stands still until the returned function is called. */
  hold(): () => void {
    this.#held += 1;
    return () => {
      this.#held -= 1;
    };
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    while (this.#timers.size > 0) {
      for (let turn = 0; turn < SETTLE_TURNS; turn++) await nextTurn();
      if (this.#held > 0) continue;
      const next = this.#earliest();
      if (!next) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.fire();
    }
    this.#running = false;
  }

  #earliest(): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) if (!first || timer.dueMs < first.dueMs) first = timer;
    return first;
  }
}
