import { cancelled } from "../../../src/errors/index.ts";

/** Waits for what others wait for, too: whoever gives up leaves it going for them. Rejects `cancelled` when the signal aborts. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const giveUp = (): void =>
    reject(cancelled("the caller gave up while IBM was waited for", { cause: signal.reason }));
  if (signal.aborted) giveUp();
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", giveUp);
    // Whoever gave up does not hear of a later failure; the others do.
    promise.catch(() => undefined);
  }
}
