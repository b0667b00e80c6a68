import { cancelled, isCaaError } from "../../src/errors/index.ts";
import type { Clock } from "../../src/platform/index.ts";
import { classifyError } from "./classify.ts";

export interface RetryPolicy {
  /** Calls in all, the first included. */
  readonly tries: number;
  /** The first wait, doubled each time up to `capMs`. */
  readonly baseMs: number;
  readonly capMs: number;
  /** The most that all waits together may last. A wait that would not fit is not begun. */
  readonly budgetMs: number;
}

export interface RetryDeps {
  readonly clock: Clock;
  /** From 0 to below 1; Math.random unless a test gives one. */
  readonly random?: () => number;
  /** Told before each wait. */
  readonly onRetry?: (error: unknown, waitMs: number) => void;
}

export interface RetryTask<T> {
  readonly policy: RetryPolicy;
  readonly operation: (attempt: number) => Promise<T>;
  /** Which failures are worth another try; by default those of class `retry`. */
  readonly retryable?: (error: unknown) => boolean;
}

/**
 * Repeats `operation` while its failures are worth it and the budget lasts; then throws the last failure as it is. Waits at
 * least as long as the other side asked (`retryAfterMs`), and spreads callers by jitter. Rejects `cancelled` when `signal`
 * aborts while waiting.
 */
export async function retry<T>(deps: RetryDeps, task: RetryTask<T>, signal: AbortSignal): Promise<T> {
  const retryable = task.retryable ?? ((error: unknown) => classifyError(error) === "retry");
  let spentMs = 0;
  for (let attempt = 1; ; attempt++) {
    try {
      return await task.operation(attempt);
    } catch (error) {
      if (attempt >= task.policy.tries || !retryable(error)) throw error;
      const waitMs = nextWaitMs(task.policy, attempt, {
        askedMs: isCaaError(error) ? error.retryAfterMs : undefined,
        random: deps.random ?? Math.random,
      });
      if (spentMs + waitMs > task.policy.budgetMs) throw error;
      spentMs += waitMs;
      deps.onRetry?.(error, waitMs);
      await pause(deps.clock, waitMs, signal);
    }
  }
}

/** The wait before try `attempt + 1`: what the other side asked for and up to a tenth more, else half to all of the doubled base. */
export function nextWaitMs(
  policy: RetryPolicy,
  attempt: number,
  wait: { readonly askedMs: number | undefined; readonly random: () => number },
): number {
  if (wait.askedMs !== undefined) return Math.ceil(wait.askedMs * (1 + wait.random() / 10));
  const ceilingMs = Math.min(policy.capMs, policy.baseMs * 2 ** (attempt - 1));
  return Math.ceil(ceilingMs * (0.5 + wait.random() / 2));
}

/** Sleeps; rejects `cancelled` when the signal aborts. */
export async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  try {
    await clock.sleep(ms, signal);
  } catch (cause) {
    throw cancelled("the caller gave up while the cloud was waited for", { cause });
  }
}
