import type { Adaptor } from "../adaptors.ts";
import type { Plot } from "../plot.ts";
import { type Cpu, type Memory, totalCpu } from "../processes.ts";
import { type Column, type Row, type Target, turnsRow, type Values } from "../report.ts";
import type { Step } from "../settings.ts";
import { median, quantile } from "../stats.ts";
import type { ClusterMemory } from "./cluster-memory.ts";
import type { ManyPods } from "./measure.ts";
import type { Recovery } from "./recovery.ts";
import type { StepFigures } from "./steps.ts";

/** A cost that grows by no more than this from 20 to 500 pods counts as the same. */
const FLAT = 1.1;

type Reduce = (rounds: readonly StepFigures[]) => number;

/** What one pod costs, of one round. */
interface Cost {
  readonly what: string;
  readonly unit: string;
  /** Undefined where a round has not measured it. */
  readonly of: (round: StepFigures) => number | undefined;
}

const START_TIME: Cost = {
  what: "time per pod, start",
  unit: "ms",
  of: ({ allReadyMs, pods }) => allReadyMs / pods,
};
const START_CPU: Cost = {
  what: "CPU per pod, start",
  unit: "ms",
  of: ({ createCpu, pods }) => totalCpu(createCpu) / pods,
};
const STOP_TIME: Cost = {
  what: "time per pod, stop",
  unit: "ms",
  of: ({ allStoppedMs, pods }) => allStoppedMs / pods,
};
const STOP_CPU: Cost = {
  what: "CPU per pod, stop",
  unit: "ms",
  of: ({ stopCpu, pods }) => totalCpu(stopCpu) / pods,
};
const MEMORY: Cost = {
  what: "PSS per pod",
  unit: "MB",
  of: ({ fullMemory, emptyMemory, pods }) => (fullMemory.pssMb - emptyMemory.pssMb) / pods,
};
const REST_CPU: Cost = {
  what: "CPU per pod at rest, each second",
  unit: "ms",
  of: ({ restCpuMsPerSecond, pods }) =>
    restCpuMsPerSecond === undefined ? undefined : restCpuMsPerSecond / pods,
};
const COSTS: readonly Cost[] = [START_TIME, START_CPU, STOP_TIME, STOP_CPU, MEMORY, REST_CPU];

const atATime = ({ pods, inFlight }: Step): string =>
  inFlight === pods ? `${pods} at once` : `${pods} pods, ${inFlight} at a time`;
const name = (step: Step): string => (step.pods === 1 ? "1 pod" : atATime(step));

/** Of the rounds that have measured it. */
const mean =
  (pick: Cost["of"]): Reduce =>
  (rounds) => {
    const values = rounds.map(pick).filter((value) => value !== undefined);
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  };

const without = (cpu: Cpu, ms: number): Cpu => ({ ...cpu, commands: cpu.commands - ms });

/** Without the CPU time of the script that stands for the other adaptor's cloud. */
function withoutScript({ steps, scriptCostMs }: ManyPods): ManyPods["steps"] {
  if (scriptCostMs === undefined) return steps;
  const less = (round: StepFigures): StepFigures => ({
    ...round,
    createCpu: without(round.createCpu, scriptCostMs.create * round.readyMs.length),
    stopCpu: without(round.stopCpu, scriptCostMs.remove * round.stopMs.length),
  });
  return steps.map(({ step, rounds }) => ({
    step,
    rounds: new Map([...rounds].map(([who, all]) => [who, who === "other" ? all.map(less) : all] as const)),
  }));
}

/** Rows of the steps: what a pod costs at each, and whether it is as much with many as with few. */
export function manyPodsRows(measured: ManyPods): readonly Row[] {
  const steps = withoutScript(measured);
  return [
    ...COSTS.flatMap((cost) =>
      steps
        .filter(({ rounds }) => [...rounds.values()].flat().some((round) => cost.of(round) !== undefined))
        .map(({ step, rounds }) =>
          turnsRow({ what: `${cost.what}, ${name(step)}`, unit: cost.unit }, rounds, mean(cost.of)),
        ),
    ),
    ...flatRows(steps),
    ...steps.map(({ step, rounds }) =>
      turnsRow(
        {
          what: `PSS of all processes, ${name(step)}, at rest, no other traffic before`,
          unit: "MB",
          ...(step.pods === 20 ? { target: { of: "ours", atMost: 110 } as const } : {}),
        },
        rounds,
        mean(({ fullMemory }) => fullMemory.pssMb),
      ),
    ),
    failureRow(steps),
  ];
}

/** Rows of pods that are started, and stopped, all at once. */
export function burstRows({ steps }: ManyPods): readonly Row[] {
  return [...steps.flatMap(({ step, rounds }) => readyRows(step, rounds)), failureRow(steps)];
}

const COLOURS = { ours: "#2471a3", other: "#b9770e" } as const;
interface Chart {
  readonly title: string;
  /** By the label of their lines; the first is drawn full, the others dashed. */
  readonly costs: Readonly<Record<string, Cost>>;
}

const CHARTS: Readonly<Record<string, Chart>> = {
  "cpu-per-pod": {
    title: "CPU per pod, all processes and their commands",
    costs: { start: START_CPU, stop: STOP_CPU },
  },
  "time-per-pod": { title: "Time per pod, 20 at a time", costs: { start: START_TIME, stop: STOP_TIME } },
  "rest-per-pod": { title: "CPU per pod at rest, each second", costs: { "at rest": REST_CPU } },
  "memory-per-pod": { title: "Memory (PSS) per pod", costs: { PSS: MEMORY } },
};

type Rounds = ReadonlyMap<Adaptor["name"], readonly StepFigures[]>;

/** Lines of one cost for each adaptor, over the pods of the steps. */
function lines(
  steps: ManyPods["steps"],
  cost: { readonly label: string; readonly of: Cost["of"]; readonly dashed: boolean },
): Plot["series"] {
  const contestants = [...new Set(steps.flatMap(({ rounds }) => [...rounds.keys()]))];
  const point = (pods: number, rounds: Rounds, who: Adaptor["name"]): readonly [number, number] => [
    pods,
    mean(cost.of)(rounds.get(who) ?? []),
  ];
  return contestants
    .map((who) => ({
      name: `${who}, ${cost.label}`,
      colour: COLOURS[who],
      dashed: cost.dashed,
      marks: true,
      // The axes are logarithmic, and little CPU time is 0 in the kernel's ticks.
      points: steps.map(({ step, rounds }) => point(step.pods, rounds, who)).filter(([, value]) => value > 0),
    }))
    .filter(({ points }) => points.length > 0);
}

/** Cost per pod over the number of pods. */
export function manyPodsCharts(measured: ManyPods): Readonly<Record<string, Plot>> {
  const steps = withoutScript(measured);
  return Object.fromEntries(
    Object.entries(CHARTS).map(([name, chart]) => {
      const [first] = Object.values(chart.costs);
      const series = Object.entries(chart.costs).flatMap(([label, { of }]) =>
        lines(steps, { label, of, dashed: chart.costs[label] !== first }),
      );
      return [name, { title: chart.title, xLabel: "pods", yLabel: first?.unit ?? "", series }];
    }),
  );
}

/** Time of a burst over its size. */
export function burstCharts({ steps }: ManyPods): Readonly<Record<string, Plot>> {
  return {
    bursts: {
      title: "Pods at once: until all are ready, and until all are gone",
      xLabel: "pods at once",
      yLabel: "ms",
      series: [
        ...lines(steps, { label: "all ready", of: ({ allReadyMs }) => allReadyMs, dashed: false }),
        ...lines(steps, { label: "all gone", of: ({ allStoppedMs }) => allStoppedMs, dashed: true }),
      ],
    },
  };
}

function readyRows(step: Step, rounds: Rounds): readonly Row[] {
  const row = (what: string, reduce: Reduce, target?: Target): Row =>
    turnsRow({ what: `${name(step)}: ${what}`, unit: "ms", ...(target && { target }) }, rounds, reduce);
  const all =
    (pick: (round: StepFigures) => readonly number[], q: number): Reduce =>
    (some) =>
      quantile(some.flatMap(pick), q);
  const middle =
    (pick: (round: StepFigures) => number): Reduce =>
    (some) =>
      median(some.map(pick));
  const goal: Target = { of: "ours/other", atMost: 0.8 };
  return [
    row(
      "ready, median",
      all(({ readyMs }) => readyMs, 0.5),
    ),
    row(
      "ready, p99",
      all(({ readyMs }) => readyMs, 0.99),
    ),
    row(
      "all ready",
      middle(({ allReadyMs }) => allReadyMs),
      goal,
    ),
    row(
      "StopVM, median",
      all(({ stopMs }) => stopMs, 0.5),
      goal,
    ),
    row(
      "StopVM, p99",
      all(({ stopMs }) => stopMs, 0.99),
    ),
    row(
      "all gone",
      middle(({ allStoppedMs }) => allStoppedMs),
    ),
  ];
}

/** Cost per pod with the most pods to that with 20, each 20 at a time. */
function flatRows(steps: ManyPods["steps"]): readonly Row[] {
  const comparable = steps.filter(({ step }) => step.inFlight === 20);
  const few = comparable.find(({ step }) => step.pods === 20);
  const many = comparable.at(-1);
  if (few === undefined || many === undefined || many === few) return [];
  return COSTS.map(({ what, of }) => ({
    what: `${what}: with ${many.step.pods} pods to with 20`,
    unit: "ratio",
    values: Object.fromEntries(
      [...many.rounds].map(([who, rounds]) => [who, mean(of)(rounds) / mean(of)(few.rounds.get(who) ?? [])]),
    ) satisfies Values,
    target: { of: "ours", atMost: FLAT },
  }));
}

function failureRow(steps: ManyPods["steps"]): Row {
  const values: Partial<Record<Adaptor["name"], number>> = {};
  for (const { rounds } of steps)
    for (const [who, all] of rounds)
      values[who] = (values[who] ?? 0) + all.reduce((sum, { failures }) => sum + failures, 0);
  return { what: "pods that failed to start", unit: "", values };
}

/** Rows of what a killed adaptor's successor takes. The other one keeps no journal: its pods end with it. */
export function recoveryRows({ pods, besideProxyMs, besideProxyCpuMs, coldMs }: Recovery): readonly Row[] {
  const rounds = (values: readonly number[]): ReadonlyMap<Column, readonly number[]> =>
    new Map([["ours", values]]);
  const row = (what: string, values: readonly number[], target?: Target): Row =>
    turnsRow(
      { what: `recovery with ${pods} pods: ${what}`, unit: "ms", ...(target && { target }) },
      rounds(values),
      median,
    );
  return [
    row("adaptor killed, shim-proxy alive, until all are known", besideProxyMs, { of: "ours", atMost: 2000 }),
    row("CPU of the new adaptor until then", besideProxyCpuMs),
    row("both killed, until all are known", [coldMs], { of: "ours", atMost: 2000 }),
  ];
}

const sumMb = (processes: Readonly<Record<string, Memory>>): number =>
  Object.values(processes).reduce((sum, { pssMb }) => sum + pssMb, 0);

/** Rows of the memory that a cloud's SDK and a cluster's API need. */
export function clusterMemoryRows({ empty, full }: ClusterMemory): readonly Row[] {
  const what = "PSS of all processes with Azure and Kubernetes";
  return [
    { what: `${what}, 0 pods`, unit: "MB", values: { ours: sumMb(empty) } },
    {
      what: `${what}, 20 pods`,
      unit: "MB",
      values: { ours: sumMb(full) },
      target: { of: "ours", atMost: 200 },
    },
  ];
}
