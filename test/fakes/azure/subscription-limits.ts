import type { ArmRequest } from "./answers.ts";

interface Bucket {
  readonly name: string;
  readonly size: number;
  readonly perSecond: number;
  readonly counts: (request: ArmRequest) => boolean;
}

const isRead = ({ method }: ArmRequest): boolean => method === "GET" || method === "HEAD";
const isVm = ({ url }: ArmRequest): boolean => /\/virtualMachines\/[^/]+$/i.test(url.pathname);
const isVmList = ({ url }: ArmRequest): boolean => /\/virtualMachines$/i.test(url.pathname);
const isOperation = ({ url }: ArmRequest): boolean =>
  /Microsoft\.Compute\/locations\/[^/]+\/operations\//i.test(url.pathname);

/**
 * What Azure documents for one subscription and principal (Resource Manager's token buckets) and for one subscription and region
 * (Compute's limits per minute). They are the same for all nodes of a cluster.
 */
const BUCKETS: readonly Bucket[] = [
  { name: "reads", size: 250, perSecond: 25, counts: isRead },
  { name: "deletes", size: 200, perSecond: 10, counts: ({ method }) => method === "DELETE" },
  {
    name: "writes",
    size: 200,
    perSecond: 10,
    counts: (request) => !isRead(request) && request.method !== "DELETE",
  },
  {
    name: "VM creates",
    size: 1500,
    perSecond: 500 / 60,
    counts: (request) => request.method === "PUT" && isVm(request),
  },
  {
    name: "VM deletes",
    size: 1500,
    perSecond: 500 / 60,
    counts: (request) => request.method === "DELETE" && isVm(request),
  },
  { name: "VM reads", size: 24_000, perSecond: 8000 / 60, counts: (r) => isRead(r) && isVm(r) },
  { name: "VM lists", size: 900, perSecond: 300 / 60, counts: (r) => isRead(r) && isVmList(r) },
  { name: "operation reads", size: 15_000, perSecond: 5000 / 60, counts: (r) => isRead(r) && isOperation(r) },
];

/** The buckets of one subscription. A call that any of them refuses costs the others nothing. */
export class SubscriptionLimits {
  readonly #levels = new Map<Bucket, { level: number; atMs: number }>();
  /** Refused calls by bucket. */
  readonly refused: Map<string, number> = new Map();

  /** Milliseconds until the call would be let through; 0: it is. */
  waitMs(request: ArmRequest, nowMs: number): number {
    const counting = BUCKETS.filter((bucket) => bucket.counts(request));
    const levels = counting.map((bucket): [Bucket, number] => {
      const held = this.#levels.get(bucket) ?? { level: bucket.size, atMs: nowMs };
      return [bucket, Math.min(bucket.size, held.level + ((nowMs - held.atMs) / 1000) * bucket.perSecond)];
    });
    const empty = levels.find(([, level]) => level < 1);
    if (empty !== undefined) {
      const [bucket, level] = empty;
      this.refused.set(bucket.name, (this.refused.get(bucket.name) ?? 0) + 1);
      return Math.ceil(((1 - level) / bucket.perSecond) * 1000);
    }
    for (const [bucket, level] of levels) this.#levels.set(bucket, { level: level - 1, atMs: nowMs });
    return 0;
  }
}
