import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../../../src/platform/index.ts";

interface Timer {
  readonly dueMs: number;
  readonly fire: () => void;
}

/** Turns of the event loop with nothing to do before time moves: promise chains and immediate callbacks get done first. */
const SETTLE_TURNS = 3;

function sleepOn(clock: Pick<Clock, "schedule">, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      stop();
      reject(signal?.reason);
    };
    const stop = clock.schedule(ms, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

function timeoutOn(clock: Pick<Clock, "schedule">, ms: number): AbortSignal {
  const controller = new AbortController();
  clock.schedule(ms, () => controller.abort(new DOMException(`timed out after ${ms} ms`, "TimeoutError")));
  return controller.signal;
}

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
    return sleepOn(this, ms, signal);
  }

  timeout(ms: number): AbortSignal {
    return timeoutOn(this, ms);
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

  /** The same time for one process of many, which can be frozen: its timers then wait until it is thawed. */
  view(): ClockView {
    return new ClockView(this);
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

/** One process's clock: a stopped process (kill -9, SIGSTOP) sees no timer of its own fire. */
export class ClockView implements Clock {
  readonly #base: VirtualClock;
  readonly #missed = new Set<() => void>();
  #frozen = false;

  constructor(base: VirtualClock) {
    this.#base = base;
  }

  wallMs(): number {
    return this.#base.wallMs();
  }

  monotonicMs(): number {
    return this.#base.monotonicMs();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, ms, signal);
  }

  timeout(ms: number): AbortSignal {
    return timeoutOn(this, ms);
  }

  schedule(ms: number, fn: () => void): () => void {
    const stop = this.#base.schedule(ms, () => {
      if (this.#frozen) this.#missed.add(fn);
      else fn();
    });
    return () => {
      stop();
      this.#missed.delete(fn);
    };
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    for (const fn of this.#missed) fn();
    this.#missed.clear();
  }
}
