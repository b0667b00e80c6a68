import type { Fault, FaultKind, Operation } from "./api.ts";

/** One call that the cloud saw. */
export interface Call {
  readonly operation: Operation;
  /** By the cloud's monotonic clock, when it arrived. */
  readonly atMs: number;
  readonly fault: FaultKind | undefined;
}

interface Armed {
  readonly operation: Operation | "any";
  readonly kind: FaultKind;
  readonly retryAfterMs: number | undefined;
  count: number;
  skip: number;
}

/** Calls kept for tests to look at. */
const MAX_CALLS = 10_000;

/** Counts calls and decides which of them fail. */
export class Faults {
  #armed: Armed[] = [];
  #calls: Call[] = [];

  arm(fault: Fault): void {
    this.#armed.push({
      operation: fault.operation,
      kind: fault.kind,
      retryAfterMs: fault.retryAfterMs,
      count: fault.count ?? 1,
      skip: fault.skip ?? 0,
    });
  }

  clear(): void {
    this.#armed = [];
  }

  get calls(): readonly Call[] {
    return this.#calls;
  }

  /** Counts a call; the fault that it meets, if any. Of several that fit, the one armed first. */
  meet(
    operation: Operation,
    atMs: number,
  ): { kind: FaultKind; retryAfterMs: number | undefined } | undefined {
    const hit = this.#armed.find((fault) => {
      if (fault.operation !== "any" && fault.operation !== operation) return false;
      if (fault.skip === 0) return true;
      fault.skip -= 1;
      return false;
    });
    if (this.#calls.length >= MAX_CALLS) this.#calls = this.#calls.slice(MAX_CALLS / 2);
    this.#calls.push({ operation, atMs, fault: hit?.kind });
    if (!hit) return undefined;
    hit.count -= 1;
    if (hit.count === 0) this.#armed = this.#armed.filter((fault) => fault !== hit);
    return { kind: hit.kind, retryAfterMs: hit.retryAfterMs };
  }
}

/** Kinds that are an answer of their own (the others are about the connection). */
export type AnsweredFault = Exclude<FaultKind, "lost" | "hang">;

export const isAnsweredFault = (kind: FaultKind): kind is AnsweredFault => kind !== "lost" && kind !== "hang";

/** What the cloud says for each answered fault. */
export const FAULT_TEXTS: Readonly<Record<AnsweredFault, string>> = {
  quota: "the account's quota is used up (injected)",
  capacity: "there is no room for this VM now (injected)",
  throttled: "too many requests (injected)",
  unavailable: "the service is not available (injected)",
  unauthorised: "these credentials are not accepted (injected)",
  invalid: "the request is not valid (injected)",
};
