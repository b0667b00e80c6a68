import type { IbmRequest } from "./answers.ts";

export type IbmCallKind = "create" | "read" | "delete" | "other";

/**
 * How a call fails. A number: that status, and nothing is done. `cut`: the connection breaks before anything is done; `lost`: it is done and then
 * the connection breaks; `hang`: never answered and not done; `late`: the connection breaks, and it is done seconds after.
 */
export type IbmFaultKind = number | "cut" | "lost" | "hang" | "late";

export interface IbmFault {
  readonly on: IbmCallKind | "any" | ((request: IbmRequest) => boolean);
  readonly kind: IbmFaultKind;
  /** VPC's code and text, for a status. */
  readonly code?: string;
  readonly message?: string;
  /** The whole body and headers instead, for a status. */
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly retryAfterMs?: number;
  /** Calls that fail; default 1. */
  readonly count?: number;
  /** Fitting calls let through before; default 0. */
  readonly skip?: number;
  /** What the test calls this fault. */
  readonly label?: string;
}

/** A call as the fake saw it. */
export interface IbmSeenCall {
  readonly number: number;
  readonly kind: IbmCallKind;
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly atMs: number;
  readonly fault: IbmFault | undefined;
}

/** Creates are POSTs of instances, deletes any DELETE, reads any GET; tokens and tags are other. */
export function kindOf(request: IbmRequest): IbmCallKind {
  if (request.method === "GET") return "read";
  if (request.method === "DELETE") return "delete";
  return request.url.pathname.endsWith("/instances") ? "create" : "other";
}

/** The faults that wait, in order: the first that fits a call is used up by it. */
export class Faults {
  #waiting: { readonly fault: IbmFault; skip: number; count: number }[] = [];

  add(fault: IbmFault): void {
    this.#waiting.push({ fault, skip: fault.skip ?? 0, count: fault.count ?? 1 });
  }

  clear(): void {
    this.#waiting = [];
  }

  take(request: IbmRequest): IbmFault | undefined {
    for (const one of this.#waiting) {
      const { on } = one.fault;
      const fits = typeof on === "function" ? on(request) : on === "any" || on === kindOf(request);
      if (!fits) continue;
      if (one.skip > 0) {
        one.skip -= 1;
        continue;
      }
      one.count -= 1;
      if (one.count <= 0) this.#waiting = this.#waiting.filter((other) => other !== one);
      return one.fault;
    }
    return undefined;
  }
}
