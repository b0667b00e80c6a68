import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { unavailable } from "../../../src/errors/index.ts";
import type { Clock } from "../../../src/platform/index.ts";
import type { MountPoint } from "./root-file-system.ts";

/** Longest that processes sent SIGKILL may take to be gone. */
const KILL_LIMIT_MS = 30_000;

const isGone = (error: unknown): boolean =>
  error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENODEV");

const quietly = (promise: Promise<unknown>): Promise<unknown> => promise.catch(() => undefined);

/** A cgroup in each hierarchy of the machine (v1, v2 or both), for each VM: `<hierarchy>/peerpod-mock-<instance>/<vm id>`. */
export class Cgroups {
  readonly #clock: Clock;
  readonly #roots: readonly { readonly path: string; readonly version: 1 | 2 }[];

  constructor(clock: Clock, instance: string, hierarchies: readonly MountPoint[]) {
    this.#clock = clock;
    this.#roots = hierarchies.map(({ target, type }) => ({
      path: join(target, `peerpod-mock-${instance}`),
      version: type === "cgroup2" ? 2 : 1,
    }));
  }

  /** Makes the group that holds all VMs. */
  async open(): Promise<void> {
    for (const { path, version } of this.#roots) {
      await mkdir(path, { recursive: true });
      if (version === 1) await this.#copyCpuset(path);
      else {
        await this.#delegate(join(path, ".."));
        await this.#delegate(path);
      }
    }
  }

  /** Makes a VM's groups and returns their folders. */
  async create(id: string): Promise<readonly string[]> {
    const paths = this.#roots.map(({ path }) => join(path, id));
    await Promise.all(
      this.#roots.map(async ({ path, version }) => {
        await mkdir(join(path, id), { recursive: true });
        if (version === 1) await this.#copyCpuset(join(path, id));
      }),
    );
    return paths;
  }

  /** Process ids in a VM's groups, as this process sees them. */
  async processes(id: string): Promise<readonly number[]> {
    const found = await Promise.all(this.#roots.map(({ path }) => processesBelow(join(path, id))));
    return [...new Set(found.flat())];
  }

  /** Ends every process of a VM and resolves when none is left. Throws `unavailable` when some do not end. */
  async killAll(id: string): Promise<void> {
    const deadline = this.#clock.monotonicMs() + KILL_LIMIT_MS;
    for (let waitMs = 1; ; waitMs = Math.min(2 * waitMs, 50)) {
      const pids = await this.processes(id);
      if (pids.length === 0) return;
      if (this.#clock.monotonicMs() > deadline)
        throw unavailable(`processes ${pids.join(", ")} of VM ${id} do not end after SIGKILL`);
      for (const pid of pids) signalProcess(pid, "SIGKILL");
      await this.#clock.sleep(waitMs);
    }
  }

  /** Removes a VM's groups, which must be empty of processes. */
  async remove(id: string): Promise<void> {
    await Promise.all(this.#roots.map(({ path }) => this.#removeTree(join(path, id))));
  }

  /** VMs that have a group, of this life or an earlier one. */
  async vmIds(): Promise<readonly string[]> {
    const found = await Promise.all(this.#roots.map(({ path }) => folders(path)));
    return [...new Set(found.flat())];
  }

  /** Removes the group that holds all VMs. */
  async close(): Promise<void> {
    await Promise.all(this.#roots.map(({ path }) => this.#removeTree(path)));
  }

  /** A v1 cpuset takes no process before its CPUs and memory nodes are set. */
  async #copyCpuset(path: string): Promise<void> {
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      const parent = await readFile(join(path, "..", file), "utf8").catch(() => "");
      if (parent.trim() !== "") await quietly(writeFile(join(path, file), parent.trim()));
    }
  }

  /** Best effort: in a container the parent group may have processes of its own and cannot hand controllers down. */
  async #delegate(path: string): Promise<void> {
    const controllers = await readFile(join(path, "cgroup.controllers"), "utf8").catch(() => "");
    for (const controller of controllers.split(/\s+/).filter((name) => name !== ""))
      await quietly(writeFile(join(path, "cgroup.subtree_control"), `+${controller}`));
  }

  async #removeTree(path: string): Promise<void> {
    for (const child of await folders(path)) await this.#removeTree(join(path, child));
    const deadline = this.#clock.monotonicMs() + KILL_LIMIT_MS;
    for (let waitMs = 1; ; waitMs = Math.min(2 * waitMs, 50)) {
      try {
        return await rmdir(path);
      } catch (error) {
        if (isGone(error)) return;
        // A process that was just reaped may count for a moment longer.
        if (this.#clock.monotonicMs() > deadline)
          throw unavailable(`cgroup ${path} cannot be removed`, { cause: error });
        await this.#clock.sleep(waitMs);
      }
    }
  }
}

async function folders(path: string): Promise<readonly string[]> {
  try {
    return (await readdir(path, { withFileTypes: true }))
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

async function processesBelow(path: string): Promise<readonly number[]> {
  const own = await readFile(join(path, "cgroup.procs"), "utf8").catch((error: unknown) => {
    if (isGone(error)) return "";
    throw error;
  });
  const below = await Promise.all((await folders(path)).map((child) => processesBelow(join(path, child))));
  return [
    ...own
      .split("\n")
      .filter((line) => line !== "")
      .map(Number),
    ...below.flat(),
  ].filter((pid) => pid > 0);
}

/** Sends a signal to every process that `list` gives, until it gives no new one: a process may have forked before it was reached. */
export async function signalAll(
  list: () => Promise<readonly number[]>,
  signal: NodeJS.Signals,
): Promise<void> {
  const reached = new Set<number>();
  for (;;) {
    const fresh = (await list()).filter((pid) => !reached.has(pid));
    if (fresh.length === 0) return;
    for (const pid of fresh) {
      signalProcess(pid, signal);
      reached.add(pid);
    }
  }
}

/** Sends a signal; a process that is gone already is fine. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
