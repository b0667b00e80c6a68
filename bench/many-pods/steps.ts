import type { Adaptor } from "../adaptors.ts";
import { CALM_MS, type Cpu, cpuSince, type Memory, sleep, totalCpu } from "../processes.ts";
import type { Step } from "../settings.ts";
import { CHECK_INTERVAL_MS, HeldPod } from "./held-pod.ts";
import type { ManyNetworks } from "./networks.ts";

/** What a step cost, all pods together. Milliseconds. */
export interface StepFigures {
  /** That came up. */
  readonly pods: number;
  /** Of each pod, CreateVM to the agent's first answer. */
  readonly readyMs: readonly number[];
  readonly allReadyMs: number;
  readonly createCpu: Cpu;
  readonly stopMs: readonly number[];
  readonly allStoppedMs: number;
  readonly stopCpu: Cpu;
  readonly emptyMemory: Memory;
  /** With all pods there, after the rest. */
  readonly fullMemory: Memory;
  /** CPU time for each second in which nothing happens but the shims' Health.Check; undefined when that was left out. */
  readonly restCpuMsPerSecond: number | undefined;
  /** Pods that did not start, with why the first of them did not; one of ours ends the section. */
  readonly failures: number;
  readonly firstFailure: string | undefined;
}

/** Time for what has just happened to come to its end. */
const SETTLE_MS = 500;

/** Brings the pods up, leaves them alone for `restMs`, stops them. The adaptor has none before. */
export async function measureStep(
  adaptor: Adaptor,
  networks: ManyNetworks,
  { step, restMs }: { readonly step: Step; readonly restMs: number },
): Promise<StepFigures> {
  const emptyMemory = adaptor.memory();
  const pods = Array.from({ length: step.pods }, (_, n) => new HeldPod(adaptor, networks.get(n)));
  const running: HeldPod[] = [];
  let firstFailure: string | undefined;
  const up = await timed(adaptor, () =>
    inTurns(pods, step.inFlight, async (pod) => {
      const ms = await pod.ready().catch((error: unknown) => {
        if (adaptor.name === "ours") throw error;
        firstFailure ??= String(error);
        return undefined;
      });
      if (ms !== undefined) running.push(pod);
      return ms;
    }),
  );
  const restCpuMsPerSecond = await atRest(adaptor, running, restMs);
  const fullMemory = adaptor.memory();
  const down = await timed(adaptor, () => inTurns(running, step.inFlight, (pod) => pod.stop()));
  const readyMs = up.results.filter((ms) => ms !== undefined);
  return {
    pods: readyMs.length,
    readyMs,
    allReadyMs: up.ms,
    createCpu: up.cpu,
    stopMs: down.results,
    allStoppedMs: down.ms,
    stopCpu: down.cpu,
    emptyMemory,
    fullMemory,
    restCpuMsPerSecond,
    failures: step.pods - readyMs.length,
    firstFailure,
  };
}

interface Timed<T> {
  readonly results: readonly T[];
  readonly ms: number;
  readonly cpu: Cpu;
}

async function timed<T>(adaptor: Adaptor, work: () => Promise<readonly T[]>): Promise<Timed<T>> {
  const cpuBefore = adaptor.cpu();
  const startedMs = performance.now();
  const results = await work();
  const ms = performance.now() - startedMs;
  await sleep(SETTLE_MS);
  return { results, ms, cpu: cpuSince(cpuBefore, adaptor.cpu()) };
}

/** Works on all of them, on at most `inFlight` at a time. */
export async function inTurns<T, R>(
  all: readonly T[],
  inFlight: number,
  work: (one: T) => Promise<R>,
): Promise<readonly R[]> {
  const results: R[] = [];
  const queue = all.entries();
  const worker = async (): Promise<void> => {
    for (const [n, one] of queue) results[n] = await work(one);
  };
  await Promise.all(Array.from({ length: Math.min(inFlight, all.length) }, worker));
  return results;
}

/** Each shim asks its agent as often as a stock one does, spread evenly; milliseconds of CPU time for each second. */
async function atRest(
  adaptor: Adaptor,
  pods: readonly HeldPod[],
  restMs: number,
): Promise<number | undefined> {
  if (pods.length === 0 || restMs === 0) return undefined;
  await sleep(CALM_MS);
  const startedMs = performance.now();
  const cpuBefore = adaptor.cpu();
  const pauseMs = CHECK_INTERVAL_MS / pods.length;
  const checks: Promise<void>[] = [];
  for (let n = 0; n * pauseMs < restMs; n++) {
    await sleep(Math.max(0, startedMs + n * pauseMs - performance.now()));
    const pod = pods[n % pods.length];
    if (pod !== undefined) checks.push(pod.check());
  }
  await sleep(Math.max(0, startedMs + restMs - performance.now()));
  await Promise.all(checks);
  const used = totalCpu(cpuSince(cpuBefore, adaptor.cpu()));
  return (used * 1000) / (performance.now() - startedMs);
}
