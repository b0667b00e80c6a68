// `make soak`: pods come and go for ten minutes (--minutes=N) while control planes are killed, handed over and links reset at
// random. Prints what became of the pods, and how memory and handles of the processes grew. Succeeds when no pod was lost and
// nothing is left. --seed=N repeats the order of events, as far as a machine repeats anything.
import { parseArgs } from "node:util";
import { isInside, isRoot, prepareNamespaces, rerunInNamespaces } from "../node/namespaces.ts";
import { added, networkState } from "../node/residue.ts";
import { Stage } from "../resilience/stage.ts";
import { Disturber } from "./disturber.ts";
import { type PodResults, runPods } from "./pods.ts";
import { makeRandom } from "./random.ts";
import { Usage } from "./usage.ts";

const PODS_AT_ONCE = 3;
/** Growth over the second half that is no noise of the garbage collector. */
const MAX_GROWTH_MIB = 60;
const MAX_HANDLE_GROWTH = 20;

const { values: options } = parseArgs({
  options: { minutes: { type: "string", default: "10" }, seed: { type: "string" } },
});
const minutes = Number(options.minutes);
const seed = Number(options.seed ?? Date.now() % 2 ** 31);

async function main(): Promise<number> {
  console.log(
    `${minutes} minutes, ${PODS_AT_ONCE} pods at once, seed ${seed}${isRoot ? "" : ", without root: no link breaks"}`,
  );
  const random = makeRandom(seed);
  const before = isRoot ? networkState() : [];
  const stage = await Stage.open({
    limit: PODS_AT_ONCE,
    adaptorFlags: ["-limit-wait=60s", "-orphan-grace=60s"],
  });
  try {
    const results: PodResults = { run: 0, execs: 0, broken: 0, lost: [] };
    const disturber = new Disturber(stage, random);
    const usage = new Usage(() => [
      { name: "shim-proxy", pid: stage.proxy.process.pid },
      { name: "control plane", pid: disturber.control.process.pid },
    ]);
    await stage.answers();
    const end = new AbortController();
    const timer = setTimeout(() => end.abort(), minutes * 60_000);
    const works = Array.from({ length: PODS_AT_ONCE }, () => runPods(stage, disturber, results, end.signal));
    const watches = [disturber.run(end.signal), usage.run(end.signal, () => progress(results, disturber))];
    await Promise.all(works);
    end.abort();
    clearTimeout(timer);
    await Promise.all(watches);
    const left = await leaks(stage, before);
    return verdict({ results, disturber, usage, left });
  } finally {
    await stage[Symbol.asyncDispose]();
  }
}

const progress = (results: PodResults, disturber: Disturber): string =>
  `${results.run} pods run, ${results.lost.length} lost, ${disturber.summary()}`;

/** What is left of the pods, as text; "" is nothing. */
async function leaks(stage: Stage, before: readonly string[]): Promise<string> {
  try {
    await stage.clear();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  // The bridges of cloud and CNI belong to the node.
  const now = isRoot ? networkState().filter((item) => !/^device (ppmock0|cni0)$/.test(item)) : [];
  return added(before, now).join("; ");
}

interface Seen {
  readonly results: PodResults;
  readonly disturber: Disturber;
  readonly usage: Usage;
  readonly left: string;
}

function verdict({ results, disturber, usage, left }: Seen): number {
  console.log(
    `pods run: ${results.run}, with ${results.execs} execs (${results.broken} met a break and were repeated); ${disturber.summary()}`,
  );
  console.log(`pods lost: ${results.lost.length}`);
  for (const text of results.lost) console.log(`  ${text}`);
  console.log(`leaks: ${left === "" ? "0" : left}`);
  for (const line of usage.lines()) console.log(line);
  const growth = usage.worstGrowth("shim-proxy");
  const grew = growth.memoryMib > MAX_GROWTH_MIB || growth.handles > MAX_HANDLE_GROWTH;
  if (grew)
    console.log(`the shim-proxy grew by more than ${MAX_GROWTH_MIB} MiB or ${MAX_HANDLE_GROWTH} handles`);
  return results.run > 0 && results.lost.length === 0 && left === "" && !grew ? 0 : 1;
}

if (isRoot && !isInside) process.exit(rerunInNamespaces(import.meta.filename, process.argv.slice(2)));
if (isRoot) prepareNamespaces();
process.exit(await main());
