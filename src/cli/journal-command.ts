import { existsSync } from "node:fs";
import { join } from "node:path";
import { describeError, notFound } from "../errors/index.ts";
import { inspectJournal, type JournalReport } from "../journal/index.ts";

/** Prints what the journal of a node says, also while a control plane runs. */
export async function showJournal(stateDir: string, write: (text: string) => void): Promise<number> {
  const { sandboxes, vms, pool, meta } = read(stateDir);
  write(`${JSON.stringify({ sandboxes, vms, pool, meta }, undefined, 2)}\n`);
  return 0;
}

/** Says whether the journal can be used, and what to do if not. Exit status 1 when it cannot. */
export async function checkJournal(stateDir: string, write: (text: string) => void): Promise<number> {
  try {
    const { sandboxes, vms, layout, problems } = read(stateDir);
    for (const problem of problems) write(`problem: ${problem}\n`);
    write(
      `journal of layout ${layout}: ${sandboxes.length} sandboxes, ${vms.length} VMs, ${problems.length} problems\n`,
    );
    return problems.length === 0 ? 0 : 1;
  } catch (error) {
    write(`${describeError(error)}\n`);
    write(
      "Running pods go on without the journal. To repair it: stop the adaptor, copy the file away, and try `sqlite3 journal.db .recover`. If that fails: drain the node, move the file away, start the adaptor, and let the reaper delete the VMs that nobody owns.\n",
    );
    return 1;
  }
}

function read(stateDir: string): JournalReport {
  const path = join(stateDir, "journal.db");
  if (!existsSync(path)) throw notFound(`there is no journal at ${path}; give the node's -state-dir`);
  return inspectJournal(path);
}
