import { CaaError, cancelled, unavailable } from "../../../src/errors/index.ts";
import type { Clock, Log } from "../../../src/platform/index.ts";
import type { CloudCall } from "../../contract.ts";
import {
  nextWaitMs,
  outcomeOfStatus,
  parseRetryAfter,
  pause,
  RateLimiter,
  type RetryPolicy,
  timedCall,
} from "../../retry/index.ts";
import { operationOf } from "./operation.ts";
import type { TokenSource } from "./token.ts";

/** The part of the SDK's request that is used here (@azure/core-rest-pipeline, PipelineRequest). */
export interface GateRequest {
  readonly method: string;
  readonly url: string;
  abortSignal?: unknown;
  readonly headers: { get(name: string): string | undefined; set(name: string, value: string): void };
}

/** The part of the SDK's answer that is used here (PipelineResponse). */
export interface GateResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | undefined };
  readonly bodyAsText?: string | null;
}

/** Where the gate leaves the text of a refusal: on the request, which the SDK's error carries while it drops most of the answer. */
export const FAILED_ANSWER: unique symbol = Symbol("failed answer");

export interface GateDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly tokens: Pick<TokenSource, "get" | "refused">;
  readonly random: () => number;
  readonly count: (kind: CallKind) => void;
  readonly onCall?: ((call: CloudCall) => void) | undefined;
}

export type CallKind = "read" | "write" | "delete";

/** Longest wait for one answer. */
const ANSWER_TIMEOUT_MS = 30_000;

/** Reads and deletes are asked five times in all, and no try begins later than two minutes after the first. */
const RETRY: RetryPolicy = { tries: 5, baseMs: 1000, capMs: 16_000, budgetMs: 120_000 };

/**
 * Calls a second and at once, well under what Resource Manager allows a subscription and principal (reads 25/s and 250,
 * writes and deletes 10/s and 200): every node of the cluster has its own share of that.
 */
const LIMITS = {
  read: { perSecond: 10, burst: 60 },
  write: { perSecond: 4, burst: 30 },
  delete: { perSecond: 4, burst: 30 },
} as const;

type Send<Q, A> = (request: Q) => Promise<A>;

/**
 * Through here goes every call to Azure: our pace, our token, our timeout, and our retries in place of the SDK's, which
 * follow a Retry-After of any length. Reads and deletes are repeated on 408, 429, 5xx and lost connections. A write is
 * repeated only when it was certainly not begun (429): whoever sent it looks first whether it arrived.
 */
export function createGate(
  deps: GateDeps,
): <Q extends GateRequest, A extends GateResponse>(request: Q, next: Send<Q, A>) => Promise<A> {
  const limiters = {
    read: new RateLimiter(deps.clock, LIMITS.read),
    write: new RateLimiter(deps.clock, LIMITS.write),
    delete: new RateLimiter(deps.clock, LIMITS.delete),
  };
  return async (request, next) => {
    const caller = request.abortSignal instanceof AbortSignal ? request.abortSignal : undefined;
    const kind = kindOf(request.method);
    const about = { deps, limiter: limiters[kind], caller: caller ?? new AbortController().signal, kind };
    const startMs = deps.clock.monotonicMs();
    let renewed = false;
    for (let attempt = 1; ; attempt++) {
      const run: Run = { ...about, repeated: attempt > 1 || renewed };
      const outcome = await attemptOnce(run, request, next);
      if (outcome.response?.status === 401 && !renewed) {
        renewed = true;
        deps.tokens.refused(outcome.token);
        continue;
      }
      const waitMs = waitAfter(run, outcome, attempt);
      if (waitMs === undefined) return settle(deps.log, request, outcome);
      if (deps.clock.monotonicMs() - startMs + waitMs > RETRY.budgetMs)
        return settle(deps.log, request, outcome);
      deps.log.debug("Azure call is repeated", { step: kind, waitMs, status: outcome.response?.status ?? 0 });
      await pause(deps.clock, waitMs, run.caller);
    }
  };
}

interface Run {
  readonly deps: GateDeps;
  readonly limiter: RateLimiter;
  readonly caller: AbortSignal;
  readonly kind: CallKind;
  readonly repeated: boolean;
}

type Outcome<A> =
  | { readonly response: A; readonly token: string; readonly error?: undefined }
  | { readonly response?: undefined; readonly token: string; readonly error: unknown };

function kindOf(method: string): CallKind {
  if (method === "DELETE") return "delete";
  return method === "GET" || method === "HEAD" ? "read" : "write";
}

async function attemptOnce<Q extends GateRequest, A extends GateResponse>(
  run: Run,
  request: Q,
  next: Send<Q, A>,
): Promise<Outcome<A>> {
  const { deps, caller } = run;
  if (caller.aborted) throw cancelled("the caller gave up before a call to Azure", { cause: caller.reason });
  await run.limiter.acquire(caller);
  let token = "";
  const late = new AbortController();
  const stop = deps.clock.schedule(ANSWER_TIMEOUT_MS, () => late.abort());
  try {
    token = await unlessAborted(deps.tokens.get(), AbortSignal.any([caller, late.signal]));
    request.headers.set("Authorization", `Bearer ${token}`);
    request.abortSignal = AbortSignal.any([caller, late.signal]);
    deps.count(run.kind);
    return { response: await sendTimed(run, request, next), token };
  } catch (error) {
    if (caller.aborted) throw cancelled("the caller gave up during a call to Azure", { cause: error });
    if (late.signal.aborted) {
      return { token, error: unavailable(`no answer from Azure within ${ANSWER_TIMEOUT_MS / 1000} s`) };
    }
    return { token, error };
  } finally {
    stop();
  }
}

/** The SDK gives refusals as answers; what it throws is a connection that failed, or a caller that left. */
function sendTimed<Q extends GateRequest, A extends GateResponse>(
  run: Run,
  request: Q,
  next: Send<Q, A>,
): Promise<A> {
  const { deps, caller, repeated } = run;
  const operation = operationOf(request.method, request.url);
  const about = { clock: deps.clock, onCall: deps.onCall, operation, repeated };
  return timedCall(
    about,
    () => next(request),
    (end) =>
      "value" in end ? outcomeOfStatus(end.value.status) : caller.aborted ? "cancelled" : "unavailable",
  );
}

/** The token is fetched for all; one caller that gives up does not wait for it. */
async function unlessAborted<T>(shared: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const leave = (): void => reject(signal.reason);
  signal.addEventListener("abort", leave, { once: true });
  try {
    return await Promise.race([shared, promise]);
  } finally {
    signal.removeEventListener("abort", leave);
    shared.catch(() => undefined);
  }
}

function settle<A extends GateResponse>(log: Log, request: GateRequest, outcome: Outcome<A>): A {
  const { response } = outcome;
  if (response === undefined) throw outcome.error;
  if (response.status < 400) return response;
  Reflect.set(request, FAILED_ANSWER, response.bodyAsText ?? "");
  // What is not there is mostly looked for; the rest is what Azure's support asks for.
  const level = response.status === 404 ? "debug" : "info";
  log[level]("Azure refused a call", {
    step: kindOf(request.method),
    status: response.status,
    path: new URL(request.url).pathname,
    requestId: response.headers.get("x-ms-request-id") ?? "",
    correlationId: response.headers.get("x-ms-correlation-request-id") ?? "",
  });
  return response;
}

/** How long to wait before the next try; undefined: no further try. */
function waitAfter<A extends GateResponse>(
  run: Run,
  outcome: Outcome<A>,
  attempt: number,
): number | undefined {
  const status = outcome.response?.status ?? 0;
  const { response } = outcome;
  const askedMs = response && retryAfterOf((name) => response.headers.get(name), run.deps.clock.wallMs());
  if (status === 429) run.limiter.holdOff(Math.min(askedMs ?? RETRY.baseMs, RETRY.budgetMs));
  if (attempt >= RETRY.tries || !worthRepeating(run.kind, outcome)) return undefined;
  return nextWaitMs(RETRY, attempt, { askedMs, random: run.deps.random });
}

function worthRepeating<A extends GateResponse>(kind: CallKind, outcome: Outcome<A>): boolean {
  if (outcome.response === undefined) {
    if (outcome.error instanceof CaaError && outcome.error.kind !== "unavailable") return false;
    return kind !== "write";
  }
  const status = outcome.response.status;
  if (status === 429) return true;
  return kind !== "write" && (status === 408 || (status >= 500 && status !== 501 && status !== 505));
}

/** How long Azure asks to wait; its own headers are in milliseconds and more exact than the standard one. */
export function retryAfterOf(
  header: (name: string) => string | undefined,
  nowMs: number,
): number | undefined {
  const exact = header("retry-after-ms") ?? header("x-ms-retry-after-ms");
  if (exact !== undefined && /^\d+$/.test(exact)) return Number(exact);
  return parseRetryAfter(header("retry-after"), nowMs);
}
