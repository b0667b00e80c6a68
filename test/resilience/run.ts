// Plays the cases of one group, one after the other: `node test/resilience/run.ts GROUP [PART OF A NAME]`. As root in
// namespaces of its own. Prints a line of JSON for each.
import { isInside, isRoot, prepareNamespaces, rerunInNamespaces } from "../node/namespaces.ts";
import type { Case, Outcome } from "./case.ts";
import { groupOf } from "./groups.ts";
import { Stage } from "./stage.ts";

/** A case that hangs fails with the logs of its node. */
const CASE_LIMIT_MS = 4 * 60_000;

const [group = "", part = ""] = process.argv.slice(2);
if (isRoot && !isInside) process.exit(rerunInNamespaces(import.meta.filename, process.argv.slice(2)));
if (isRoot) prepareNamespaces();
process.exit(await main());

async function main(): Promise<number> {
  let shared: Stage | undefined;
  let failed = false;
  for (const one of groupOf(group)) {
    if (!one.name.includes(part) || (one.needsRoot === true && !isRoot)) continue;
    const stage: Stage = (one.stage === undefined && shared) || (await reopen(shared, one));
    shared = one.stage === undefined ? stage : undefined;
    const outcome = await play(stage, one);
    process.stdout.write(`${JSON.stringify(outcome)}\n`);
    failed ||= outcome.failure !== undefined;
    if (outcome.failure === undefined && shared !== undefined) continue;
    shared = undefined; // What a failure leaves would spoil the next case.
    await stage[Symbol.asyncDispose]();
  }
  await shared?.[Symbol.asyncDispose]();
  return failed ? 1 : 0;
}

/** Two machine rooms cannot share a network namespace, so the last one ends first. */
async function reopen(last: Stage | undefined, one: Case): Promise<Stage> {
  await last?.[Symbol.asyncDispose]();
  return await Stage.open(one.stage);
}

async function play(stage: Stage, one: Case): Promise<Outcome> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error("it hung")), CASE_LIMIT_MS);
  try {
    await Promise.race([one.run(stage).then(() => stage.clear()), late.promise]);
    return { name: one.name };
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { name: one.name, failure: `${text}\n${stage.node.logs()}` };
  } finally {
    clearTimeout(timer);
  }
}
