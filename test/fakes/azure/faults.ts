import type { ArmRequest } from "./answers.ts";

export type ArmCallKind = "create" | "read" | "delete" | "other";

/**
 * How a call fails. A number: that status, and nothing is done. `cut`: the connection breaks before anything is done; `lost`: it is done and then
 * the connection breaks; `hang`: never answered and not done; `late`: the connection breaks, and it is done seconds after.
 */
export type ArmFaultKind = number | "cut" | "lost" | "hang" | "late";

export interface ArmFault {
  readonly on: ArmCallKind | "any" | ((request: ArmRequest) => boolean);
  readonly kind: ArmFaultKind;
  /** ARM's code and text, for a status. */
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
export interface ArmCall {
  readonly number: number;
  readonly kind: ArmCallKind;
  readonly method: string;
  readonly path: string;
  readonly atMs: number;
  readonly fault: ArmFault | undefined;
}

/** Creates are PUTs of VMs, deletes any DELETE, reads any GET. */
export function kindOf(request: ArmRequest): ArmCallKind {
  if (request.method === "GET") return "read";
  if (request.method === "DELETE") return "delete";
  return request.method === "PUT" ? "create" : "other";
}

/** The faults that wait, in order: the first that fits a call is used up by it. */
export class Faults {
  #waiting: { readonly fault: ArmFault; skip: number; count: number }[] = [];

  add(fault: ArmFault): void {
    this.#waiting.push({ fault, skip: fault.skip ?? 0, count: fault.count ?? 1 });
  }

  clear(): void {
    this.#waiting = [];
  }

  take(request: ArmRequest): ArmFault | undefined {
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

/** Azure's limits of calls about one VM and minute (bucket, refill): reads 36/12, changes 12/4; of one operation 45/15. */
const BUCKETS = {
  read: { size: 36, perMinute: 12 },
  change: { size: 12, perMinute: 4 },
  operation: { size: 45, perMinute: 15 },
} as const;

/** Token buckets, one for each VM or operation. */
export class Buckets {
  readonly #levels = new Map<string, { level: number; atMs: number }>();

  /** Milliseconds until the call would be let through; 0: it is. */
  waitMs(request: ArmRequest, nowMs: number): number {
    const vm = /virtualMachines\/([^/]+)$/i.exec(request.url.pathname)?.[1];
    const operation = /operations\/([^/]+)$/i.exec(request.url.pathname)?.[1];
    if (vm === undefined && operation === undefined) return 0;
    const kind = operation ? "operation" : request.method === "GET" ? "read" : "change";
    const { size, perMinute } = BUCKETS[kind];
    const key = `${kind} ${operation ?? vm}`;
    const held = this.#levels.get(key) ?? { level: size, atMs: nowMs };
    const level = Math.min(size, held.level + ((nowMs - held.atMs) / 60_000) * perMinute);
    if (level < 1) return Math.ceil(((1 - level) / perMinute) * 60_000);
    this.#levels.set(key, { level: level - 1, atMs: nowMs });
    return 0;
  }
}
