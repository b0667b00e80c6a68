import type { FleetRun } from "./azure-fleet.ts";

/** Azure Resource Manager's buckets for one subscription and principal: calls at once, and calls a second after that. */
export const FRONT_DOOR = {
  writes: { size: 200, perSecond: 10 },
  reads: { size: 250, perSecond: 25 },
} as const;

/** How long the fake takes to make a VM; a real cloud differs. */
const BOOT_SECONDS = 20;

export interface Estimate {
  readonly pods: number;
  /** No client can be faster: the calls that a pod needs, at the rate that Azure allows. */
  readonly floorSeconds: number;
  readonly seconds: number;
  /** The limit that decides. */
  readonly bound: "writes" | "reads" | "boot";
}

/** Seconds that `calls` need behind a bucket. */
const drain = (
  calls: number,
  { size, perSecond }: { readonly size: number; readonly perSecond: number },
): number => Math.max(0, calls - size) / perSecond;

/** Reads that a pod needs when nothing is refused: the VM once and its interface once. */
export const READS_PER_POD = 2;

/** The fastest that a burst of `pods` can be. */
export function floor(pods: number): Pick<Estimate, "floorSeconds" | "bound"> {
  const writes = drain(pods, FRONT_DOOR.writes);
  const reads = drain(pods * READS_PER_POD, FRONT_DOOR.reads);
  const longest = Math.max(writes, reads);
  return {
    floorSeconds: BOOT_SECONDS + longest,
    bound: longest === 0 ? "boot" : writes >= reads ? "writes" : "reads",
  };
}

/**
 * The model: what a burst takes beyond its boot grows with the floor. The factor is fitted to simulated runs (least squares through
 * the origin), those that wait for Azure's limits at all.
 */
export function fitFactor(runs: readonly FleetRun[]): number {
  let above = 0;
  let below = 0;
  for (const { shape, burst } of runs) {
    const limited = floor(shape.nodes * shape.podsPerNode).floorSeconds - BOOT_SECONDS;
    above += limited * Math.max(0, burst.p99 - BOOT_SECONDS);
    below += limited * limited;
  }
  if (below === 0) throw new Error("no run was limited by Azure: simulate a larger fleet to fit the model");
  return above / below;
}

/** What a burst of `pods` takes, by a factor from `fitFactor`. */
export function estimate(pods: number, factor: number): Estimate {
  const { floorSeconds, bound } = floor(pods);
  return { pods, floorSeconds, bound, seconds: BOOT_SECONDS + factor * (floorSeconds - BOOT_SECONDS) };
}
