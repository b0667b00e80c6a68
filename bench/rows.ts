import { availableParallelism } from "node:os";
import type { DataPlaneFigures, Way } from "./data-plane.ts";
import { IN_FLIGHT } from "./data-plane.ts";
import { burstRatio, type Round, type Start } from "./lifecycle.ts";
import type { Memory } from "./processes.ts";
import type { Row } from "./report.ts";
import type { StartUp } from "./start-up.ts";
import { median, quantile } from "./stats.ts";

type ByAdaptor<T> = ReadonlyMap<"ours" | "other", T>;

/** Rows of Health.Check and CopyFile; ratios are to the way straight to the stub agent's socket. */
export function dataPlaneRows(figures: ReadonlyMap<Way, DataPlaneFigures>): readonly Row[] {
  const values = (pick: (of: DataPlaneFigures) => number): Row["values"] =>
    Object.fromEntries([...figures].map(([way, of]) => [way, pick(of)]));
  const ratio = (row: Row["values"]): NonNullable<Row["figure"]> => ({
    name: "ours/direct",
    ours: (row.ours ?? Number.NaN) / (row.direct ?? Number.NaN),
    other: row.other === undefined ? undefined : row.other / (row.direct ?? Number.NaN),
  });
  const row = (
    what: string,
    unit: string,
    pick: (of: DataPlaneFigures) => number,
    target?: NonNullable<Row["target"]>,
  ): Row => ({
    what,
    unit,
    values: values(pick),
    figure: ratio(values(pick)),
    ...(target && { target }),
  });
  return [
    row("Health.Check, median", "ms", (of) => of.checkMs, { atMost: 3.5 }),
    row("Health.Check, p99", "ms", (of) => of.checkP99Ms),
    ...IN_FLIGHT.map((inFlight) =>
      row(
        `Health.Check, ${inFlight} in flight`,
        "1/s",
        (of) => of.ratePerSecond[inFlight] ?? Number.NaN,
        inFlight === 32 ? { atLeast: 0.25 } : undefined,
      ),
    ),
    row("CopyFile, 1 MiB chunks", "MB/s", (of) => of.copyMBps, { atLeast: 0.6 }),
  ];
}

function pair<T>(of: ByAdaptor<T>, figure: (value: T) => number): Row["values"] {
  return Object.fromEntries([...of].map(([name, value]) => [name, figure(value)]));
}

/** Rows of pods coming and going. */
export function lifecycleRows(measured: {
  readonly create: ByAdaptor<readonly number[]>;
  readonly start: ByAdaptor<readonly Start[]>;
  readonly rounds: ByAdaptor<readonly Round[]>;
}): readonly Row[] {
  const { create, start, rounds } = measured;
  const ratios = pair(rounds, burstRatio);
  const starts = (pick: (one: Start) => number): Row["values"] => pair(start, (all) => median(all.map(pick)));
  const all = (pick: (one: Round) => number): Row["values"] => pair(rounds, (some) => median(some.map(pick)));
  return [
    { what: "CreateVM, median", unit: "ms", values: pair(create, median), target: { atMost: 10 } },
    { what: "CreateVM, p99", unit: "ms", values: pair(create, (ms) => quantile(ms, 0.99)) },
    {
      what: "VM accepts connections to StartVM's answer, median",
      unit: "ms",
      values: starts((one) => one.acceptToAnswerMs),
      target: { atMost: 50 },
    },
    { what: "StartVM, median", unit: "ms", values: starts((one) => one.startMs) },
    { what: "StopVM, median", unit: "ms", values: starts((one) => one.stopMs) },
    {
      what: "pod ready, one at a time, median",
      unit: "ms",
      values: all((round) => median(round.oneByOneMs)),
    },
    { what: "pod ready, 20 at once, median", unit: "ms", values: all((round) => median(round.atOnceMs)) },
    {
      what: "pods of all rounds that failed to start",
      unit: "",
      values: pair(rounds, (some) => some.reduce((sum, round) => sum + round.failures, 0)),
    },
    { what: "20 pods, one after another", unit: "ms", values: all((round) => round.allOneByOneMs) },
    {
      what: "20 pods at once",
      unit: "ms",
      values: all((round) => round.allAtOnceMs),
      figure: {
        name: `of one after another / ${availableParallelism()} cores:`,
        ours: ratios.ours ?? Number.NaN,
        other: ratios.other,
      },
      target: { atMost: 1 },
    },
  ];
}

/** Rows of starting processes. */
export function startUpRows(measured: ReadonlyMap<StartUp, readonly number[]>): readonly Row[] {
  const values = (ours: StartUp, other: StartUp): Row["values"] => {
    const [a, b] = [measured.get(ours), measured.get(other)];
    return { ...(a && { ours: median(a) }), ...(b && { other: median(b) }) };
  };
  return [
    {
      what: "start to listening on hypervisor.sock (shim-proxy)",
      unit: "ms",
      values: values("shim-proxy listens", "other listens"),
      target: { atMost: 300 },
    },
    {
      what: "the same, first start after installation (both processes at once)",
      unit: "ms",
      values: { ours: median(measured.get("first start ever") ?? []) },
    },
    {
      what: "both processes started at once to the first answer",
      unit: "ms",
      values: values("both serve", "other serves"),
    },
    {
      what: "adaptor started beside a running shim-proxy to the first answer",
      unit: "ms",
      values: values("adaptor serves", "other serves"),
    },
  ];
}

/** Rows of memory. */
export function memoryRows(before: ByAdaptor<Memory>, full: ByAdaptor<Memory>): readonly Row[] {
  return [
    { what: "PSS of all processes, 0 pods", unit: "MB", values: pair(before, (of) => of.pssMb) },
    { what: "PSS of all processes, 20 pods", unit: "MB", values: pair(full, (of) => of.pssMb) },
    { what: "RSS of all processes, 20 pods", unit: "MB", values: pair(full, (of) => of.rssMb) },
  ];
}
