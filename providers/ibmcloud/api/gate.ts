import { CaaError, cancelled, unavailable } from "../../../src/errors/index.ts";
import type { Clock, Log } from "../../../src/platform/index.ts";
import type { CloudCall, CloudCallOutcome } from "../../contract.ts";
import {
  nextWaitMs,
  outcomeOfStatus,
  pause,
  RateLimiter,
  type RetryPolicy,
  timedCall,
} from "../../retry/index.ts";
import { ibmFailure } from "./errors.ts";
import type { TokenSource } from "./token.ts";
import { untilAborted } from "./until-aborted.ts";

export type CallKind = "read" | "write" | "delete";

/** What is being sent, as far as repeating it is concerned. */
export interface GateCall {
  readonly kind: CallKind;
  /** For the metrics: `instances.get`. */
  readonly operation: string;
  /** The same call may be sent again without harm, although it writes. */
  readonly repeatable: boolean;
}

export interface GateDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly tokens: Pick<TokenSource, "get" | "refused">;
  readonly random: () => number;
  readonly count: (kind: CallKind) => void;
  readonly onCall?: ((call: CloudCall) => void) | undefined;
}

/** Sends one try of a call with this token. */
export type Send<T> = (token: string, signal: AbortSignal) => Promise<T>;
export type Gate = <T>(call: GateCall, send: Send<T>, caller: AbortSignal) => Promise<T>;

/** Longest wait for one answer. */
const ANSWER_TIMEOUT_MS = 30_000;

/** Calls are tried five times in all, and no try begins later than two minutes after the first. */
const RETRY: RetryPolicy = { tries: 5, baseMs: 1000, capMs: 16_000, budgetMs: 120_000 };

/** Calls a second and at once. IBM does not publish its limits; these leave room for other nodes of a large cluster. */
const LIMITS = {
  read: { perSecond: 10, burst: 60 },
  write: { perSecond: 4, burst: 30 },
  delete: { perSecond: 4, burst: 30 },
} as const;

/**
 * Through here goes every call to IBM: our pace, our token, our timeout, and our retries in place of the SDK's, which
 * repeat a POST too. Reads, deletes and repeatable writes are tried again on 408, 429, 5xx and lost connections; other
 * writes only when they were certainly not begun (429): whoever sent one looks first whether it arrived.
 */
export function createGate(deps: GateDeps): Gate {
  const limiters = {
    read: new RateLimiter(deps.clock, LIMITS.read),
    write: new RateLimiter(deps.clock, LIMITS.write),
    delete: new RateLimiter(deps.clock, LIMITS.delete),
  };
  return async (call, send, caller) => {
    const about = { deps, limiter: limiters[call.kind], caller, call };
    const startMs = deps.clock.monotonicMs();
    let renewed = false;
    for (let attempt = 1; ; attempt++) {
      const run: Run = { ...about, repeated: attempt > 1 || renewed };
      const outcome = await attemptOnce(run, send);
      if (outcome.done) return outcome.value;
      if (outcome.status === 401 && !renewed) {
        renewed = true;
        deps.tokens.refused(outcome.token);
        continue;
      }
      const waitMs = waitAfter(run, outcome, attempt);
      if (waitMs === undefined || deps.clock.monotonicMs() - startMs + waitMs > RETRY.budgetMs)
        throw outcome.error;
      deps.log.debug("IBM call is repeated", { step: call.kind, waitMs, status: outcome.status });
      await pause(deps.clock, waitMs, caller);
    }
  };
}

interface Run {
  readonly deps: GateDeps;
  readonly limiter: RateLimiter;
  readonly caller: AbortSignal;
  readonly call: GateCall;
  readonly repeated: boolean;
}

interface Failed {
  readonly done: false;
  readonly token: string;
  readonly error: unknown;
  /** 0 without an answer. */
  readonly status: number;
  readonly askedMs: number | undefined;
}

async function attemptOnce<T>(
  run: Run,
  send: Send<T>,
): Promise<{ readonly done: true; readonly value: T } | Failed> {
  const { deps, caller } = run;
  if (caller.aborted) throw cancelled("the caller gave up before a call to IBM", { cause: caller.reason });
  await run.limiter.acquire(caller);
  let token = "";
  const late = new AbortController();
  const stop = deps.clock.schedule(ANSWER_TIMEOUT_MS, () => late.abort());
  try {
    const signal = AbortSignal.any([caller, late.signal]);
    token = await untilAborted(deps.tokens.get(), signal);
    deps.count(run.call.kind);
    const { clock, onCall } = deps;
    const { operation } = run.call;
    const value = await timedCall(
      { clock, onCall, operation, repeated: run.repeated },
      () => send(token, signal),
      (end) => outcomeOf(run, end),
    );
    return { done: true, value };
  } catch (error) {
    if (caller.aborted) throw cancelled("the caller gave up during a call to IBM", { cause: error });
    if (late.signal.aborted) {
      const slow = unavailable(`no answer from IBM within ${ANSWER_TIMEOUT_MS / 1000} s`);
      return { done: false, token, error: slow, status: 0, askedMs: undefined };
    }
    const failure = ibmFailure(error, deps.clock.wallMs());
    return { done: false, token, error, status: failure?.status ?? 0, askedMs: failure?.retryAfterMs };
  } finally {
    stop();
  }
}

/** The SDK throws refusals, with their status. */
function outcomeOf(
  run: Run,
  end: { readonly value: unknown } | { readonly error: unknown },
): CloudCallOutcome {
  if ("value" in end) return "ok";
  if (run.caller.aborted) return "cancelled";
  return outcomeOfStatus(ibmFailure(end.error, run.deps.clock.wallMs())?.status ?? 0);
}

/** How long to wait before the next try; undefined: no further try. */
function waitAfter(run: Run, outcome: Failed, attempt: number): number | undefined {
  if (outcome.status === 429) {
    run.limiter.holdOff(Math.min(outcome.askedMs ?? RETRY.baseMs, RETRY.budgetMs));
  }
  if (attempt >= RETRY.tries || !worthRepeating(run.call, outcome)) return undefined;
  return nextWaitMs(RETRY, attempt, { askedMs: outcome.askedMs, random: run.deps.random });
}

function worthRepeating(call: GateCall, outcome: Failed): boolean {
  const { error, status } = outcome;
  if (status === 429) return true;
  if (call.kind === "write" && !call.repeatable) return false;
  // A failed sign-in has told all there is to tell; our own timeout has not.
  if (error instanceof CaaError) return error.kind === "unavailable";
  return status === 0 || status === 408 || (status >= 500 && status !== 501 && status !== 505);
}
