import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, test } from "vitest";
import { insideNamespaces, isRoot } from "../node/namespaces.ts";
import type { Outcome } from "./case.ts";
import { groupOf } from "./groups.ts";

/** The machine may be busy with other test files. */
const GROUP_LIMIT_MS = 15 * 60_000;

/** Declares a test for each case of a group. They run in a process of their own, in order; each test waits for its case. */
export function declareCases(group: string): void {
  const cases = groupOf(group);
  const outcomes = new Map(cases.map((one) => [one.name, Promise.withResolvers<Outcome>()]));
  for (const { promise } of outcomes.values()) promise.catch(() => undefined); // A test that was not chosen does not wait.
  let child: ChildProcess;
  let told = 0;
  const closed = Promise.withResolvers<void>();

  beforeAll(() => {
    child = start(group);
    let errors = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (errors += text));
    if (child.stdout !== null)
      createInterface(child.stdout).on("line", (line) => {
        const outcome: Outcome = JSON.parse(line);
        outcomes.get(outcome.name)?.resolve(outcome);
        told++;
      });
    child.once("close", (status) => {
      closed.resolve();
      for (const { reject } of outcomes.values())
        reject(
          new Error(`the process of these cases ended (${status}) before this one:\n${errors.slice(-4000)}`),
        );
    });
  });

  afterAll(async () => {
    // After its last case it still takes down its node; before that, this run wanted only some of the cases.
    if (told >= cases.filter((one) => isRoot || one.needsRoot !== true).length) await closed.promise;
    else child.kill("SIGKILL");
  });

  describe(group, () => {
    for (const one of cases) {
      const skipped = one.needsRoot === true && !isRoot;
      test.skipIf(skipped)(
        one.needsRoot === true ? `${one.name} (needs root)` : one.name,
        { timeout: GROUP_LIMIT_MS },
        async () => {
          const outcome = await outcomes.get(one.name)?.promise;
          if (outcome?.failure !== undefined) throw new Error(outcome.failure);
        },
      );
    }
  });
}

function start(group: string): ChildProcess {
  const program = join(import.meta.dirname, "run.ts");
  const quiet = ["--disable-warning=ExperimentalWarning"];
  if (!isRoot)
    return spawn(process.execPath, [...quiet, program, group], { stdio: ["ignore", "pipe", "pipe"] });
  const inside = insideNamespaces(program, [group]);
  return spawn("unshare", inside.args, { stdio: ["ignore", "pipe", "pipe"], env: inside.env });
}
