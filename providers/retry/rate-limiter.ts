import type { Clock } from "../../src/platform/index.ts";
import { pause } from "./retry.ts";

export interface RateLimit {
  readonly perSecond: number;
  /** Calls that may be made at once after a quiet time. */
  readonly burst: number;
}

/**
 * Spaces the calls that all pods of this process make to one account and region, first come first served, and holds all of
 * them back when one was told to slow down.
 */
export class RateLimiter {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #slackMs: number;
  /** When the bucket will be full again, as if each call so far had used `#intervalMs` (the GCRA's arrival time). */
  #fullAtMs = 0;
  #heldUntilMs = 0;

  constructor(clock: Clock, limit: RateLimit) {
    this.#clock = clock;
    this.#intervalMs = 1000 / limit.perSecond;
    this.#slackMs = this.#intervalMs * (limit.burst - 1);
  }

  /** Resolves when the call may be made. Rejects `cancelled` when the signal aborts first. */
  async acquire(signal: AbortSignal): Promise<void> {
    for (;;) {
      const nowMs = this.#clock.monotonicMs();
      const fullAtMs = Math.max(this.#fullAtMs, nowMs);
      const waitMs = Math.max(fullAtMs - this.#slackMs, this.#heldUntilMs) - nowMs;
      this.#fullAtMs = fullAtMs + this.#intervalMs;
      if (waitMs <= 0) return;
      try {
        await pause(this.#clock, waitMs, signal);
      } catch (error) {
        this.#fullAtMs -= this.#intervalMs;
        throw error;
      }
      if (this.#clock.monotonicMs() >= this.#heldUntilMs) return;
    }
  }

  /** No call is let through for `ms`; afterwards they go one by one, not in a burst. */
  holdOff(ms: number): void {
    const untilMs = this.#clock.monotonicMs() + ms;
    if (untilMs <= this.#heldUntilMs) return;
    this.#heldUntilMs = untilMs;
    this.#fullAtMs = Math.max(this.#fullAtMs, untilMs + this.#slackMs);
  }
}
