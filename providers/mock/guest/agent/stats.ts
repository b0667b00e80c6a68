import * as v from "valibot";
import { describeError, internal } from "../../../../src/errors/index.ts";
import { StatsContainerResponse } from "../../../../src/gen/agent/agent.ts";

// From `runc events --stats` (runc types/events.go), which reads cgroups of both versions, to the agent's message.

const count = v.optional(v.pipe(v.number(), v.minValue(0)), 0);
const MEMORY_ENTRY = v.optional(v.object({ usage: count, max: count, failcnt: count, limit: count }), {});

const EVENT = v.object({
  data: v.object({
    cpu: v.object({
      usage: v.object({
        total: count,
        percpu: v.optional(v.nullable(v.array(v.number())), []),
        kernel: count,
        user: count,
      }),
      throttling: v.optional(v.object({ periods: count, throttledPeriods: count, throttledTime: count }), {}),
    }),
    memory: v.object({
      cache: count,
      usage: MEMORY_ENTRY,
      swap: MEMORY_ENTRY,
      kernel: MEMORY_ENTRY,
      raw: v.optional(v.nullable(v.record(v.string(), v.number())), {}),
    }),
    pids: v.optional(v.object({ current: count, limit: count }), {}),
  }),
});

/** What is answered for a container without a process. */
export const EMPTY_STATS: StatsContainerResponse = StatsContainerResponse.create({ cgroupStats: {} });

/** JSON numbers above 2^53 are rounded, so "no limit" may come out just above 64 bits: it is cut to what the field holds. */
const MAX_UINT64 = 2n ** 64n - 1n;
const toUint64 = (value: number): bigint => {
  const whole = BigInt(Math.trunc(value));
  return whole > MAX_UINT64 ? MAX_UINT64 : whole;
};

interface MemoryEntry {
  readonly usage: number;
  readonly max: number;
  readonly failcnt: number;
  readonly limit: number;
}

const toMemoryData = (entry: MemoryEntry) => ({
  usage: toUint64(entry.usage),
  maxUsage: toUint64(entry.max),
  failcnt: toUint64(entry.failcnt),
  limit: toUint64(entry.limit),
});

/** Reads runc's line of figures. Throws `internal` if it is none. */
export function parseRuncStats(text: string): StatsContainerResponse {
  let read: v.InferOutput<typeof EVENT>;
  try {
    read = v.parse(EVENT, JSON.parse(text));
  } catch (cause) {
    throw internal(`runc's figures cannot be read: ${describeError(cause)}`, { cause });
  }
  const { cpu, memory, pids } = read.data;
  return StatsContainerResponse.create({
    cgroupStats: {
      cpuStats: {
        cpuUsage: {
          totalUsage: toUint64(cpu.usage.total),
          percpuUsage: (cpu.usage.percpu ?? []).map(toUint64),
          usageInKernelmode: toUint64(cpu.usage.kernel),
          usageInUsermode: toUint64(cpu.usage.user),
        },
        throttlingData: {
          periods: toUint64(cpu.throttling.periods),
          throttledPeriods: toUint64(cpu.throttling.throttledPeriods),
          throttledTime: toUint64(cpu.throttling.throttledTime),
        },
      },
      memoryStats: {
        cache: toUint64(memory.cache),
        usage: toMemoryData(memory.usage),
        swapUsage: toMemoryData(memory.swap),
        kernelUsage: toMemoryData(memory.kernel),
        useHierarchy: true,
        stats: Object.fromEntries(
          Object.entries(memory.raw ?? {}).map(([key, value]) => [key, toUint64(value)]),
        ),
      },
      pidsStats: { current: toUint64(pids.current), limit: toUint64(pids.limit) },
    },
  });
}
