import type { Clock } from "../../src/platform/index.ts";
import type { CloudCall, CloudCallOutcome } from "../contract.ts";

/** The outcome that an HTTP status tells; 0: there was no answer. */
export function outcomeOfStatus(status: number): CloudCallOutcome {
  if (status >= 200 && status < 400) return "ok";
  if (status === 401 || status === 403) return "unauthorised";
  if (status === 404 || status === 410) return "not-found";
  if (status === 409 || status === 412) return "conflict";
  if (status === 429) return "throttled";
  if (status === 0 || status === 408 || status >= 500) return "unavailable";
  return "refused";
}

export interface TimedCall {
  readonly clock: Clock;
  readonly onCall: ((call: CloudCall) => void) | undefined;
  readonly operation: string;
  readonly repeated: boolean;
}

/** Makes one try of a call and tells `onCall` of it. `judge` gets what the call gave, or what it threw. */
export async function timedCall<T>(
  about: TimedCall,
  call: () => Promise<T>,
  judge: (end: { readonly value: T } | { readonly error: unknown }) => CloudCallOutcome,
): Promise<T> {
  const { clock, onCall, operation, repeated } = about;
  if (onCall === undefined) return await call();
  const startMs = clock.monotonicMs();
  const tell = (outcome: CloudCallOutcome): void =>
    onCall({ operation, outcome, repeated, durationMs: clock.monotonicMs() - startMs });
  try {
    const value = await call();
    tell(judge({ value }));
    return value;
  } catch (error) {
    tell(judge({ error }));
    throw error;
  }
}
