import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock } from "./clock.ts";

/** How often is looked, milliseconds. */
const LOOK_MS = 5000;
/** Up to this part of one core a process counts as idle. */
const IDLE_SHARE = 0.02;
/** Growth since the last collection that is worth another one. More than what V8 keeps for new objects comes and goes. */
const WORTH_BYTES = 8 * 1024 * 1024;

/** What is looked at and done; this process's own unless a test gives something else. */
export interface IdleMemory {
  /** CPU time of this process, milliseconds. */
  cpuMs(): number;
  /** Resident memory of this process. */
  residentBytes(): number;
  /** Collects all garbage and gives free pages back. */
  collect(): void;
}

/**
 * Collects garbage when a process that has grown has nothing to do: V8 does it only when it needs room, so that what a burst of pods
 * has left would stay until the next one. Takes some tens of milliseconds while nobody waits. Ends with the returned function.
 */
export function collectWhenIdle(clock: Clock, memory: IdleMemory = thisProcess()): () => void {
  let cpuMs = memory.cpuMs();
  let keptBytes = 0;
  let cancel = clock.schedule(LOOK_MS, look);
  function look(): void {
    const nowMs = memory.cpuMs();
    const isIdle = nowMs - cpuMs <= LOOK_MS * IDLE_SHARE;
    if (isIdle && memory.residentBytes() > keptBytes + WORTH_BYTES) {
      memory.collect();
      keptBytes = memory.residentBytes();
    }
    cpuMs = memory.cpuMs();
    cancel = clock.schedule(LOOK_MS, look);
  }
  return () => cancel();
}

function thisProcess(): IdleMemory {
  setFlagsFromString("--expose-gc"); // For contexts that are made from now on: the one below.
  const collect: unknown = runInNewContext("gc");
  setFlagsFromString("--no-expose-gc");
  return {
    cpuMs() {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    },
    residentBytes: () => process.memoryUsage.rss(),
    // In this flavour free pages are given back too, which an ordinary collection leaves to later ones.
    collect: () =>
      typeof collect === "function" && collect({ type: "major", execution: "sync", flavor: "last-resort" }),
  };
}
