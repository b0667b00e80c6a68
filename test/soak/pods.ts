import { Code } from "../../src/errors/index.ts";
import type { RunningPod, Stage } from "../resilience/stage.ts";
import type { Disturber } from "./disturber.ts";

const PRINT = ["sh", "-c", 'n=0; while :; do echo "line $n"; n=$((n+1)); usleep 100000; done'];
const EXECS_PER_POD = 12;
/** A call that meets a break fails once (docs/link-losses.md); one that meets many in a row is a loss. */
const TRIES = 5;

/** What became of the pods; added to while they run. */
export interface PodResults {
  run: number;
  execs: number;
  /** Execs that were under way in the moment of a break, and repeated. */
  broken: number;
  /** One line for each pod that ended other than by its shim's wish. */
  readonly lost: string[];
}

/** Pods one after the other, each with output, execs and its whole life, until aborted. */
export async function runPods(
  stage: Stage,
  disturber: Disturber,
  results: PodResults,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await onePod(stage, disturber, results);
      results.run++;
    } catch (error) {
      results.lost.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
  }
}

async function onePod(stage: Stage, disturber: Disturber, results: PodResults): Promise<void> {
  const running = await disturber.calls(() => stage.runPod(PRINT));
  const { pod } = running;
  const ended = pod.alive.then(
    (status) => Promise.reject(new Error(`${pod.pod.name} ended by itself with status ${status}`)),
    (error: unknown) => Promise.reject(new Error(`${pod.pod.name} was reported dead: ${String(error)}`)),
  );
  ended.catch(() => undefined);
  const { id } = await stage.vmOf(pod);
  const output = readOutput(running);
  disturber.mayReset(id);
  try {
    for (let n = 0; n < EXECS_PER_POD; n++) await Promise.race([exec(running, n, results), ended]);
  } finally {
    await disturber.mayNotReset(id);
  }
  // The last break has healed when this is answered.
  await Promise.race([exec(running, EXECS_PER_POD, results), ended]);
  await disturber.calls(() => stage.endPod(running));
  if ((await output) === 0) throw new Error(`${pod.pod.name} printed nothing`);
}

/** An exec, repeated when the link broke under it. */
async function exec({ pod, container }: RunningPod, n: number, results: PodResults): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const { stdout, status } = await pod.session.exec(container, `exec-${n}-${attempt}`, ["echo", `${n}`]);
      // A break may swallow this very answer, or the status of a process that ended in the gap.
      if (stdout === `${n}\n` && status === 0) break;
      if (attempt === TRIES) throw new Error(`exec printed ${JSON.stringify(stdout)}, status ${status}`);
    } catch (error) {
      const met = error instanceof Error && "code" in error && error.code === Code.Unavailable;
      if (!met || attempt === TRIES) throw error;
    }
    results.broken++;
  }
  results.execs++;
}

/** Reads until the container or the connection ends; resolves to the bytes read. */
async function readOutput({ pod, container }: RunningPod): Promise<number> {
  let bytes = 0;
  try {
    for (;;) {
      const data = await pod.session.read(container, container);
      if (data.length === 0) return bytes;
      bytes += data.length;
    }
  } catch {
    return bytes; // The container was removed under the read, as it is for a real shim.
  }
}
