import type { Exec } from "../platform/index.ts";
import { runNet } from "./namespace.ts";
import type { TunnelPlan } from "./plan.ts";
import { RawTable } from "./raw-table.ts";

/** How long iptables waits for another program that holds its lock, seconds. */
const LOCK_WAIT_S = "30";

/** A change is refused when another process changed the chains after we looked; then we look again. */
const MAX_ATTEMPTS = 5;

/** Adds the plan's rules, their chains and the jumps to them as far as they are missing. Throws `network`. */
export const addRules = (exec: Exec, plan: TunnelPlan, signal: AbortSignal): Promise<void> =>
  queueOf(exec).change((table) => table.add(plan), signal);

/** Removes the plan's rules, and chains that are empty then. Removing what is gone succeeds. Throws `network`. */
export const removeRules = (exec: Exec, plan: TunnelPlan, signal: AbortSignal): Promise<void> =>
  queueOf(exec).change((table) => table.remove(plan), signal);

/** The plan's rules that exist now, as iptables prints them. */
export async function findRules(exec: Exec, plan: TunnelPlan, signal: AbortSignal): Promise<string[]> {
  return (await readTable(exec, signal)).find(plan);
}

type Change = (table: RawTable) => void;

interface Waiting {
  readonly change: Change;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Makes changes to table raw: one read and at most one atomic write for all that were asked for while the last ones were made. Twenty
 * pods that start at once would otherwise spend most of their time refusing each other's changes.
 */
class RuleQueue {
  readonly #exec: Exec;
  #waiting: Waiting[] = [];
  #busy = false;
  /** The table as our last change left it. */
  #known: RawTable | undefined;

  constructor(exec: Exec) {
    this.#exec = exec;
  }

  /** Resolves when the change is made. Rejects when the signal aborts; the change may be made nevertheless. */
  async change(change: Change, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const giveUp = (): void => reject(signal.reason);
    signal.addEventListener("abort", giveUp, { once: true });
    this.#waiting.push({ change, resolve, reject });
    if (!this.#busy) void this.#work();
    try {
      await promise;
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
  }

  /** Never rejects: each failure goes to who asked for it. */
  async #work(): Promise<void> {
    this.#busy = true;
    while (this.#waiting.length > 0) {
      const all = this.#waiting;
      this.#waiting = [];
      if (!(await this.#settle(all)) && all.length > 1) {
        for (const one of all) await this.#settle([one]);
      }
    }
    this.#busy = false;
  }

  /** Makes all these changes or none. Tells who waits of the success, and of a failure if it is one's own. */
  async #settle(these: readonly Waiting[]): Promise<boolean> {
    try {
      await this.#change((table) => {
        for (const { change } of these) change(table);
      });
      for (const { resolve } of these) resolve();
      return true;
    } catch (error) {
      if (these.length === 1) these[0]?.reject(error);
      return false;
    }
  }

  async #change(change: Change): Promise<void> {
    const known = this.#known?.changed();
    this.#known = undefined;
    this.#known =
      (known && (await changeWhatIsKnown(this.#exec, known, change))) ??
      (await changeWhatIsRead(this.#exec, change));
  }
}

/** One for each way to run commands, which is one for the process: it is no state of ours but the order of its callers. */
const queues = new WeakMap<Exec, RuleQueue>();

function queueOf(exec: Exec): RuleQueue {
  const queue = queues.get(exec) ?? new RuleQueue(exec);
  queues.set(exec, queue);
  return queue;
}

/**
 * A table of many pods takes iptables long to print, so it is not read again where a change can be made, and checked by iptables
 * itself, from what we know of it. Returns the table as it is then; undefined: it has to be read.
 */
async function changeWhatIsKnown(exec: Exec, table: RawTable, change: Change): Promise<RawTable | undefined> {
  change(table);
  if (table.lines.length === 0 || table.needsLook) return undefined;
  try {
    await writeTable(exec, table, [...table.checks]);
    return table.changed();
  } catch {
    // Somebody else has changed the table, or the change is not possible, which shows then.
    return undefined;
  }
}

/** Returns the table as it is then. */
async function changeWhatIsRead(exec: Exec, change: Change): Promise<RawTable> {
  for (let attempt = 1; ; attempt++) {
    const table = await readTable(exec, unending());
    change(table);
    if (table.lines.length === 0) return table;
    try {
      await writeTable(exec, table);
      return table.changed();
    } catch (error) {
      if (attempt === MAX_ATTEMPTS) throw error;
    }
  }
}

/** Shared by several callers, so none of their signals ends it; iptables' own lock timeout bounds it. */
const unending = (): AbortSignal => new AbortController().signal;

/** All of the changes, or none. */
async function writeTable(exec: Exec, table: RawTable, checks: readonly string[] = []): Promise<void> {
  const argv = ["iptables-restore", "-w", LOCK_WAIT_S, "--noflush"] as const;
  const input = ["*raw", ...checks, ...table.lines, "COMMIT", ""].join("\n");
  await runNet(exec, { argv, input, purpose: "change the tunnel's iptables rules" }, unending());
}

async function readTable(exec: Exec, signal: AbortSignal): Promise<RawTable> {
  const argv = ["iptables", "-w", LOCK_WAIT_S, "-t", "raw", "-S"] as const;
  return RawTable.read(await runNet(exec, { argv, purpose: "read the iptables rules of table raw" }, signal));
}
