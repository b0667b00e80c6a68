import { connect } from "node:net";
import { availableParallelism } from "node:os";
import type { Adaptor } from "./adaptors.ts";
import { CHECK } from "./data-plane.ts";
import { BenchPod, type PodNetworks } from "./pods.ts";
import { CALM_MS, type Memory, sleep } from "./processes.ts";
import type { RoomApi } from "./room-api.ts";
import { interleave, median } from "./stats.ts";

const FORWARDER_PORT = 15150;
const LOOK_MS = 5;
const DIAL_MS = 1;
const PODS = 20;

/** CreateVM without StartVM, one at a time, milliseconds. */
export async function measureCreate(
  adaptors: readonly Adaptor[],
  networks: PodNetworks,
  times: number,
): Promise<ReadonlyMap<Adaptor["name"], readonly number[]>> {
  const once = (adaptor: Adaptor) => async () => {
    const pod = new BenchPod(adaptor, networks.get(adaptor, 0));
    const startedMs = performance.now();
    await pod.create();
    const ms = performance.now() - startedMs;
    await pod.stop();
    return ms;
  };
  const contestants = new Map(adaptors.map((adaptor) => [adaptor.name, once(adaptor)]));
  await interleave(2, contestants); // What is loaded at first use is not CreateVM's usual time.
  return await interleave(times, contestants);
}

/** Times of one start, milliseconds. */
export interface Start {
  /** From the moment at which the VM took a TCP connection of ours to StartVM's answer; negative is impossible but for the probe's grain. */
  readonly acceptToAnswerMs: number;
  readonly startMs: number;
  readonly stopMs: number;
}

/** StartVM one at a time, watched from outside: who is first, the VM's listener or the answer? */
export async function measureStart(
  adaptors: readonly Adaptor[],
  deps: { readonly networks: PodNetworks; readonly room: RoomApi },
  times: number,
): Promise<ReadonlyMap<Adaptor["name"], readonly Start[]>> {
  const once = (adaptor: Adaptor) => async (): Promise<Start> => {
    const pod = new BenchPod(adaptor, deps.networks.get(adaptor, 0));
    await pod.create();
    const known = new Set((await deps.room.vms()).map((vm) => vm.id));
    const startedMs = performance.now();
    const answered = pod.start().then(() => performance.now());
    const acceptedMs = await firstAccept(deps.room, known);
    const answeredMs = await answered;
    await pod.stop();
    return {
      acceptToAnswerMs: answeredMs - acceptedMs,
      startMs: answeredMs - startedMs,
      stopMs: performance.now() - answeredMs,
    };
  };
  return await interleave(times, new Map(adaptors.map((adaptor) => [adaptor.name, once(adaptor)])));
}

/** When the VM that is none of the known ones takes a connection. */
async function firstAccept(room: RoomApi, known: ReadonlySet<string>): Promise<number> {
  let address: string | undefined;
  while (address === undefined) {
    const vm = (await room.vms()).find(({ id }) => !known.has(id));
    address = vm?.addresses[0];
    if (address === undefined) await sleep(LOOK_MS);
  }
  while (!(await accepts(address))) await sleep(DIAL_MS);
  return performance.now();
}

function accepts(host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port: FORWARDER_PORT });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** One round of 20 pods, milliseconds. */
export interface Round {
  /** CreateVM to the agent's first answer, one pod after another. */
  readonly oneByOneMs: readonly number[];
  readonly allOneByOneMs: number;
  readonly atOnceMs: readonly number[];
  readonly allAtOnceMs: number;
  /** With all pods of the burst there, right after it. */
  readonly memory: Memory;
  /** The same some seconds later. */
  readonly memoryAtRest: Memory;
  /** Pods of another adaptor that did not start; of ours one ends the bench. */
  readonly failures: number;
}

/** 20 pods one after another, then 20 at once. */
export async function measureBursts(
  adaptors: readonly Adaptor[],
  networks: PodNetworks,
  options: { readonly rounds: number; readonly onFull: (adaptor: Adaptor) => void },
): Promise<ReadonlyMap<Adaptor["name"], readonly Round[]>> {
  const once = (adaptor: Adaptor) => async (): Promise<Round> => {
    const pods = (): BenchPod[] =>
      Array.from({ length: PODS }, (_, n) => new BenchPod(adaptor, networks.get(adaptor, n)));
    const oneByOne = pods();
    const oneByOneMs: number[] = [];
    let failures = 0;
    const beganMs = performance.now();
    const ready = (pod: BenchPod): Promise<number> =>
      pod.ready(CHECK).catch((error: unknown) => {
        if (adaptor.name === "ours") throw error;
        failures++;
        return Number.NaN;
      });
    const stop = (pod: BenchPod): Promise<void> =>
      pod.stop().catch((error: unknown) => {
        if (failures === 0) throw error;
      });
    for (const pod of oneByOne) oneByOneMs.push(await ready(pod));
    const allOneByOneMs = performance.now() - beganMs;
    await Promise.all(oneByOne.map(stop));
    const atOnce = pods();
    const startedMs = performance.now();
    const atOnceMs = await Promise.all(atOnce.map(ready));
    const allAtOnceMs = performance.now() - startedMs;
    const memory = adaptor.memory();
    await sleep(CALM_MS);
    const memoryAtRest = adaptor.memory();
    options.onFull(adaptor);
    await Promise.all(atOnce.map(stop));
    return {
      oneByOneMs: oneByOneMs.filter((ms) => !Number.isNaN(ms)),
      allOneByOneMs,
      atOnceMs: atOnceMs.filter((ms) => !Number.isNaN(ms)),
      allAtOnceMs,
      memory,
      memoryAtRest,
      failures,
    };
  };
  return await interleave(options.rounds, new Map(adaptors.map((adaptor) => [adaptor.name, once(adaptor)])));
}

/** 1.0 when a burst uses all cores as well as pods one after another use one. */
export const burstRatio = (rounds: readonly Round[]): number =>
  median(
    rounds.map(({ allAtOnceMs, allOneByOneMs }) => allAtOnceMs / (allOneByOneMs / availableParallelism())),
  );
