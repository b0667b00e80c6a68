import type { KvmConfig } from "./config.ts";

/** How many more VMs of the default size the host has memory for, after what is promised to those that exist. */
export function roomFor(
  config: Pick<KvmConfig, "memoryMiB" | "overheadMiB" | "maxMemoryMiB">,
  facts: ReadonlyMap<string, string>,
): number {
  const number = (key: string): number => Number(facts.get(key) ?? 0);
  const promised = (facts.get("promised") ?? "")
    .split(" ")
    .reduce((sum, text) => sum + Number(text === "" ? 0 : text), 0);
  const total = number("memory-total");
  const most = config.maxMemoryMiB > 0 ? Math.min(config.maxMemoryMiB, total) : total;
  const left = Math.min(most - promised, number("memory-available"));
  return Math.max(0, Math.floor(left / (config.memoryMiB + config.overheadMiB)));
}
