import type { Adaptor } from "./adaptors.ts";
import { callKindsTable, cloudCallRows, measureCloudCalls } from "./cloud-calls.ts";
import {
  CHECK,
  type DataPlane,
  directClient,
  forwarderClient,
  measureDataPlane,
  type Way,
} from "./data-plane.ts";
import { measureBursts, measureCreate, measureStart } from "./lifecycle.ts";
import {
  burstCharts,
  burstRows,
  clusterMemoryRows,
  type ManyPods,
  manyPodsCharts,
  manyPodsRows,
  measureClusterMemory,
  measureRecovery,
  measureSteps,
  recoveryRows,
} from "./many-pods/index.ts";
import { measurePodWork, podWorkRows } from "./pod-work.ts";
import { BenchPod } from "./pods.ts";
import type { RawClient } from "./raw-client.ts";
import { dataPlaneRows, lifecycleRows, memoryRows, startUpRows } from "./rows.ts";
import type { Outcome, Site } from "./site.ts";
import { measureStartUp } from "./start-up.ts";

/** A part of the bench that can be run alone. */
export interface Section {
  readonly name: string;
  readonly run: (site: Site) => Promise<Outcome>;
}

/** In the order in which they run. */
export const SECTIONS: readonly Section[] = [
  { name: "start-up", run: startUp },
  { name: "data-plane", run: dataPlane },
  { name: "lifecycle", run: lifecycle },
  { name: "many-pods", run: manyPods },
  { name: "bursts", run: bursts },
  { name: "recovery", run: recovery },
  { name: "cluster-memory", run: clusterMemory },
  { name: "pod-work", run: podWork },
  { name: "cloud-calls", run: cloudCalls },
];

async function startUp(site: Site): Promise<Outcome> {
  site.note("start-up");
  const measured = await measureStartUp(site.ownStarter, site.settings.effort.startUps);
  return { rows: startUpRows(measured), detail: { startUpMs: Object.fromEntries(measured) } };
}

/** Two pods at most: one of ours, through which the forwarder is reached too, and one of the other adaptor. */
async function dataPlane(site: Site): Promise<Outcome> {
  const { ours, all } = await site.adaptors();
  const clients = new Map<Way, RawClient>();
  const pods: BenchPod[] = [];
  try {
    clients.set("direct", await directClient(site.agentSocket));
    for (const adaptor of all) {
      const pod = new BenchPod(adaptor, site.networks.get(adaptor, 0));
      await pod.ready(CHECK);
      pods.push(pod);
      if (adaptor === ours) clients.set("forwarder", await forwarderClient(ours.vmKeys(pod.id)));
      clients.set(adaptor.name, await pod.connect());
    }
    const figures = await measureDataPlane(clients, site.settings.effort.dataPlane, site.note);
    site.traffic.push("data-plane");
    return { rows: dataPlaneRows(figures), detail: { dataPlane: withoutLatencies(figures) } };
  } finally {
    for (const client of clients.values()) client[Symbol.dispose]();
    for (const pod of pods) await pod.stop();
  }
}

/** Calls and time of each drive; a hundred thousand latencies are nothing to keep. */
function withoutLatencies({ checks, rates, copies, reads }: DataPlane): Readonly<Record<string, unknown>> {
  const short = (drives: DataPlane["checks"]): unknown =>
    Object.fromEntries(
      [...drives].map(([way, some]) => [way, some.map(({ calls, elapsedMs }) => ({ calls, elapsedMs }))]),
    );
  return {
    checks: short(checks),
    rates: Object.fromEntries([...rates].map(([inFlight, drives]) => [inFlight, short(drives)])),
    copies: short(copies),
    reads: short(reads),
  };
}

async function lifecycle(site: Site): Promise<Outcome> {
  const { ours, all: adaptors, emptyMemory, emptyByProcess } = await site.adaptors();
  const { networks, room, note } = site;
  const { creates, starts, bursts } = site.settings.effort;
  note("CreateVM, one at a time");
  const create = await measureCreate(adaptors, networks, creates);
  note("StartVM, one at a time");
  const start = await measureStart(adaptors, { networks, room }, starts);
  note("20 pods, one after another and at once");
  const memoryAt20: Record<string, unknown> = {};
  const onFull = (adaptor: Adaptor): void => {
    if (adaptor === ours) Object.assign(memoryAt20, ours.memoryByProcess());
  };
  const rounds = await measureBursts(adaptors, networks, { rounds: bursts, onFull });
  site.traffic.push("bursts");
  const last = new Map(
    [...rounds].flatMap(([name, all]) => all.slice(-1).map((round) => [name, round] as const)),
  );
  return {
    rows: [
      ...lifecycleRows({ create, start, rounds }),
      ...memoryRows(emptyMemory, last, `after ${site.traffic.join(" and ")}`),
    ],
    detail: {
      createMs: Object.fromEntries(create),
      start: Object.fromEntries(start),
      rounds: Object.fromEntries(rounds),
      memoryAt0: emptyByProcess,
      memoryAt20,
    },
  };
}

async function manyPods(site: Site): Promise<Outcome> {
  const { steps, restMs } = site.settings.effort.manyPods;
  const measured = await measuredAlone(site, () => measureSteps(site, steps, restMs));
  return {
    rows: manyPodsRows(measured),
    charts: manyPodsCharts(measured),
    detail: { manyPods: readable(measured) },
  };
}

async function bursts(site: Site): Promise<Outcome> {
  const { bursts: steps } = site.settings.effort.manyPods;
  const measured = await measuredAlone(site, () => measureSteps(site, steps, 0));
  return {
    rows: burstRows(measured),
    charts: burstCharts(measured),
    detail: { manyPodsAtOnce: readable(measured) },
  };
}

/** Without the adaptors of other sections, which would be two more of everything. */
async function measuredAlone<T>(site: Site, measure: () => Promise<T>): Promise<T> {
  await site.endAdaptors();
  return await measure();
}

const readable = ({ steps, ...rest }: ManyPods): Readonly<Record<string, unknown>> => ({
  ...rest,
  steps: steps.map(({ step, rounds }) => ({ ...step, rounds: Object.fromEntries(rounds) })),
});

async function recovery(site: Site): Promise<Outcome> {
  const measured = await measuredAlone(site, () => measureRecovery(site, site.settings.effort.manyPods));
  return { rows: recoveryRows(measured), detail: { recovery: measured } };
}

async function clusterMemory(site: Site): Promise<Outcome> {
  const measured = await measuredAlone(site, () => measureClusterMemory(site));
  return { rows: clusterMemoryRows(measured), detail: { clusterMemory: measured } };
}

async function podWork(site: Site): Promise<Outcome> {
  site.note("processes and journal commits per pod");
  const measured = await measurePodWork();
  return { rows: podWorkRows(measured), detail: { podWork: measured } };
}

async function cloudCalls(site: Site): Promise<Outcome> {
  site.note("calls of the clouds' APIs, against the fakes");
  const calls = await measureCloudCalls();
  return {
    rows: cloudCallRows(calls),
    tables: { "cloud-calls-kinds": callKindsTable(calls) },
    detail: { cloudCalls: calls },
  };
}
