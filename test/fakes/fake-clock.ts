import type { Clock } from "../../src/platform/index.ts";

interface Timer {
  readonly dueMs: number;
  readonly fire: () => void;
}

/** Time that passes only when the test says so. */
export class FakeClock implements Clock {
  #nowMs = 0;
  #wallOffsetMs = Date.UTC(2026, 0, 1);
  readonly #timers = new Set<Timer>();

  wallMs(): number {
    return this.#wallOffsetMs + this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  /** As when somebody sets the machine's clock. */
  jumpWall(ms: number): void {
    this.#wallOffsetMs += ms;
  }

  /** How many sleeps, timeouts and schedules wait. */
  get waiting(): number {
    return this.#timers.size;
  }

  schedule(ms: number, fn: () => void): () => void {
    const timer: Timer = { dueMs: this.#nowMs + Math.max(0, ms), fire: fn };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  timeout(ms: number): AbortSignal {
    const controller = new AbortController();
    this.schedule(ms, () => controller.abort(new DOMException("The operation timed out", "TimeoutError")));
    return controller.signal;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = (): void => {
        cancel();
        reject(signal?.reason);
      };
      const cancel = this.schedule(ms, () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      });
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Lets `ms` pass: fires what becomes due in order, letting what it wakes run in between. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settle();
    for (;;) {
      const due = [...this.#timers].filter((t) => t.dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#nowMs = Math.max(this.#nowMs, due.dueMs);
      due.fire();
      await settle();
    }
    this.#nowMs = untilMs;
    await settle();
  }
}

/** Lets everything run that can run without time passing or sockets speaking. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}
