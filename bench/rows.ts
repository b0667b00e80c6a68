import { availableParallelism } from "node:os";
import { CHUNK_BYTES, type DataPlane, IN_FLIGHT } from "./data-plane.ts";
import { burstRatio, type Round, type Start } from "./lifecycle.ts";
import type { Memory } from "./processes.ts";
import type { Drive } from "./raw-client.ts";
import { type Column, type Row, type Target, turnsRow } from "./report.ts";
import type { StartUp } from "./start-up.ts";
import { median, quantile } from "./stats.ts";
import { READ_BYTES } from "./stub-agent-service.ts";

type ByAdaptor<T> = ReadonlyMap<"ours" | "other", T>;

const atMost = (limit: number): Target => ({ of: "ours/other", atMost: limit });
const atLeast = (limit: number): Target => ({ of: "ours/other", atLeast: limit });

const perSecond = ({ calls, elapsedMs }: Drive): number => (calls * 1000) / elapsedMs;
const latencies = (some: readonly Drive[]): readonly number[] => some.flatMap((drive) => drive.latenciesMs);
/** Megabytes (10^6) per second. */
const throughput =
  (bytes: number) =>
  (some: readonly Drive[]): number =>
    median(some.map((drive) => (perSecond(drive) * bytes) / 1e6));

/** Rows of Health.Check, CopyFile and ReadStdout. */
export function dataPlaneRows({ checks, rates, copies, reads }: DataPlane): readonly Row[] {
  const none: ReadonlyMap<Column, readonly Drive[]> = new Map();
  return [
    turnsRow({ what: "Health.Check, median", unit: "ms", target: atMost(0.65) }, checks, (some) =>
      median(latencies(some)),
    ),
    turnsRow({ what: "Health.Check, p99", unit: "ms" }, checks, (some) => quantile(latencies(some), 0.99)),
    ...IN_FLIGHT.map((inFlight) =>
      turnsRow(
        { what: `Health.Check, ${inFlight} in flight`, unit: "1/s", target: atLeast(1.5) },
        rates.get(inFlight) ?? none,
        (some) => median(some.map(perSecond)),
      ),
    ),
    turnsRow(
      { what: "CopyFile, 1 MiB chunks", unit: "MB/s", target: atLeast(1.5) },
      copies,
      throughput(CHUNK_BYTES),
    ),
    turnsRow({ what: "ReadStdout, 32 KiB answers", unit: "MB/s" }, reads, throughput(READ_BYTES)),
  ];
}

const middle = (values: readonly number[]): number => median(values);

/** Rows of pods coming and going, with VMs that are processes and namespaces of their own. */
export function lifecycleRows(measured: {
  readonly create: ByAdaptor<readonly number[]>;
  readonly start: ByAdaptor<readonly Start[]>;
  readonly rounds: ByAdaptor<readonly Round[]>;
}): readonly Row[] {
  const { create, start, rounds } = measured;
  const starts = (what: string, reduce: (some: readonly Start[]) => number, target?: Target): Row =>
    turnsRow({ what, unit: "ms", ...(target && { target }) }, start, reduce);
  const bursts = (what: string, pick: (one: Round) => number, target?: Target): Row =>
    turnsRow({ what, unit: "ms", ...(target && { target }) }, rounds, (some) => median(some.map(pick)));
  return [
    turnsRow({ what: "CreateVM, median", unit: "ms", target: { of: "ours", atMost: 10 } }, create, middle),
    turnsRow({ what: "CreateVM, p99", unit: "ms" }, create, (some) => quantile(some, 0.99)),
    starts(
      "VM accepts connections to StartVM's answer, median",
      (some) => median(some.map((one) => one.acceptToAnswerMs)),
      { of: "ours", atMost: 50 },
    ),
    starts("StartVM, median", (some) => median(some.map((one) => one.startMs))),
    starts("StopVM, median", (some) => median(some.map((one) => one.stopMs)), atMost(0.8)),
    starts("StopVM, p99", (some) =>
      quantile(
        some.map((one) => one.stopMs),
        0.99,
      ),
    ),
    bursts("pod ready, one at a time, median", (round) => median(round.oneByOneMs)),
    bursts("pod ready, 20 at once, median", (round) => median(round.atOnceMs)),
    bursts("20 pods, one after another: all ready", (round) => round.allOneByOneMs),
    bursts("20 pods at once: all ready", (round) => round.allAtOnceMs, atMost(0.8)),
    {
      ...turnsRow(
        {
          what: `20 at once to 20 one after another on ${availableParallelism()} cores`,
          unit: "ratio",
          target: { of: "ours", atMost: 1 },
        },
        rounds,
        burstRatio,
      ),
    },
    turnsRow({ what: "pods that failed to start", unit: "" }, rounds, (some) =>
      some.reduce((sum, round) => sum + round.failures, 0),
    ),
  ];
}

/** Rows of starting processes. */
export function startUpRows(measured: ReadonlyMap<StartUp, readonly number[]>): readonly Row[] {
  const row = (what: string, ours: StartUp, other?: StartUp, target?: Target): Row => {
    const [a, b] = [measured.get(ours), other === undefined ? undefined : measured.get(other)];
    const rounds = new Map<Column, readonly number[]>([
      ...(a ? [["ours", a] as const] : []),
      ...(b ? [["other", b] as const] : []),
    ]);
    return turnsRow({ what, unit: "ms", ...(target && { target }) }, rounds, middle);
  };
  return [
    row("start to listening on hypervisor.sock (shim-proxy)", "shim-proxy listens", "other listens", {
      of: "ours",
      atMost: 150,
    }),
    row("the same, first start after installation (both processes at once)", "first start ever"),
    row("both processes started at once to the first answer", "both serve", "other serves"),
    row("adaptor started beside a running shim-proxy to the first answer", "adaptor serves", "other serves", {
      of: "ours",
      atMost: 150,
    }),
  ];
}

/** Rows of memory, of adaptors that have gone through the sections named. */
export function memoryRows(
  before: ByAdaptor<Memory>,
  full: ByAdaptor<Pick<Round, "memory" | "memoryAtRest">>,
  traffic: string,
): readonly Row[] {
  const row = <T>(what: string, of: ByAdaptor<T>, pick: (one: T) => number): Row => ({
    what,
    unit: "MB",
    values: Object.fromEntries([...of].map(([name, one]) => [name, pick(one)])),
  });
  const target: Target = { of: "ours", atMost: 110 };
  return [
    row("PSS of all processes, 0 pods", before, ({ pssMb }) => pssMb),
    {
      ...row(`PSS of all processes, 20 pods, at rest ${traffic}`, full, (of) => of.memoryAtRest.pssMb),
      target,
    },
    row(`PSS of all processes, 20 pods, right ${traffic}`, full, (of) => of.memory.pssMb),
    row(`RSS of all processes, 20 pods, right ${traffic}`, full, (of) => of.memory.rssMb),
  ];
}
