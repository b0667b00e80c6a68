import type { Clock } from "../../src/platform/index.ts";
import { pause } from "./retry.ts";

export interface RateLimit {
  readonly perSecond: number;
  /** Calls that may be made at once after a quiet time. */
  readonly burst: number;
}

/** The smallest share of its rate that a limiter goes down to. */
const LEAST_SHARE = 1 / 32;
/** How long it takes from nothing back to the whole rate. */
const RECOVERY_MS = 120_000;

/**
 * Spaces the calls that all pods of this process make to one account and region, first come first served, and holds all of
 * them back when one was told to slow down. What the account may ask is shared by nodes that do not know of one another: each
 * halves its rate when it is told to slow down, and gets it back little by little, so that together they come to what the
 * account allows (additive increase, multiplicative decrease, as TCP shares a line).
 */
export class RateLimiter {
  readonly #clock: Clock;
  readonly #fullRateIntervalMs: number;
  readonly #slackMs: number;
  /** When the bucket will be full again, as if each call so far had used its interval (the GCRA's arrival time). */
  #fullAtMs = 0;
  #heldUntilMs = 0;
  #share = 1;
  #shareAtMs = 0;

  constructor(clock: Clock, limit: RateLimit) {
    this.#clock = clock;
    this.#fullRateIntervalMs = 1000 / limit.perSecond;
    this.#slackMs = this.#fullRateIntervalMs * (limit.burst - 1);
  }

  /** Resolves when the call may be made. Rejects `cancelled` when the signal aborts first. */
  async acquire(signal: AbortSignal): Promise<void> {
    for (;;) {
      const nowMs = this.#clock.monotonicMs();
      const fullAtMs = Math.max(this.#fullAtMs, nowMs);
      const intervalMs = this.#fullRateIntervalMs / this.#currentShare(nowMs);
      const waitMs = Math.max(fullAtMs - this.#slackMs, this.#heldUntilMs) - nowMs;
      this.#fullAtMs = fullAtMs + intervalMs;
      if (waitMs <= 0) return;
      try {
        await pause(this.#clock, waitMs, signal);
      } catch (error) {
        this.#fullAtMs -= intervalMs;
        throw error;
      }
      if (this.#clock.monotonicMs() >= this.#heldUntilMs) return;
    }
  }

  /** No call is let through for `ms`; afterwards they go one by one, not in a burst, and at half the rate for a while. */
  holdOff(ms: number): void {
    const nowMs = this.#clock.monotonicMs();
    const untilMs = nowMs + ms;
    // Calls that were under way together are told the same thing: that counts once.
    if (nowMs >= this.#heldUntilMs) {
      this.#share = Math.max(LEAST_SHARE, this.#currentShare(nowMs) / 2);
      this.#shareAtMs = nowMs;
    }
    if (untilMs <= this.#heldUntilMs) return;
    this.#heldUntilMs = untilMs;
    this.#fullAtMs = Math.max(this.#fullAtMs, untilMs + this.#slackMs);
  }

  #currentShare(nowMs: number): number {
    return Math.min(1, this.#share + (nowMs - this.#shareAtMs) / RECOVERY_MS);
  }
}
