import { setTimeout as pause } from "node:timers/promises";
import type { Clock } from "../../src/platform/index.ts";

interface Timer {
  readonly dueMs: number;
  readonly fire: () => void;
  readonly real: NodeJS.Timeout;
}

/** Real milliseconds that sockets get to speak between two timers of a jump. */
const BREATH_MS = 4;

/**
 * Real time that a test can jump ahead, for code that waits minutes with real sockets around it: what is due meanwhile
 * fires in order, and in between the sockets get to speak.
 */
export class JumpClock implements Clock {
  #jumpedMs = 0;
  readonly #timers = new Set<Timer>();

  wallMs(): number {
    return Date.now() + this.#jumpedMs;
  }

  monotonicMs(): number {
    return performance.now() + this.#jumpedMs;
  }

  schedule(ms: number, fn: () => void): () => void {
    const fire = (): void => {
      clearTimeout(timer.real);
      if (this.#timers.delete(timer)) fn();
    };
    const real = setTimeout(fire, Math.min(Math.max(0, ms), 2 ** 31 - 1)).unref();
    const timer: Timer = { dueMs: this.monotonicMs() + Math.max(0, ms), fire, real };
    this.#timers.add(timer);
    return () => {
      clearTimeout(timer.real);
      this.#timers.delete(timer);
    };
  }

  timeout(ms: number): AbortSignal {
    const controller = new AbortController();
    this.schedule(ms, () => controller.abort(new DOMException(`timed out after ${ms} ms`, "TimeoutError")));
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

  /** Jumps `ms` ahead. */
  async jump(ms: number): Promise<void> {
    const untilMs = this.monotonicMs() + ms;
    await pause(BREATH_MS);
    for (;;) {
      const due = [...this.#timers].filter((t) => t.dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (due === undefined) break;
      this.#jumpedMs += Math.max(0, due.dueMs - this.monotonicMs());
      due.fire();
      await pause(BREATH_MS);
    }
    this.#jumpedMs += Math.max(0, untilMs - this.monotonicMs());
    await pause(BREATH_MS);
  }
}
