import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { describeError, internal } from "../../../../src/errors/index.ts";
import type { StatsContainerResponse } from "../../../../src/gen/agent/agent.ts";
import type { LinuxResources, Process } from "../../../../src/gen/agent/oci.ts";
import type { Clock, Exec, Log } from "../../../../src/platform/index.ts";
import { lastMessage, launch } from "./launch.ts";
import { toProcessJson, toResourcesJson } from "./oci-spec.ts";
import type { ContainerPlan, ContainerRuntime, LaunchedProcess } from "./runtime.ts";
import { EMPTY_STATS, parseRuncStats } from "./stats.ts";

export interface RuncDeps {
  readonly clock: Clock;
  readonly exec: Exec;
  readonly log: Log;
  /** runc's own state; a folder that nobody else uses. */
  readonly stateDir: string;
}

const SIGKILL = 9;

const STATE = v.object({ cgroup_paths: v.record(v.string(), v.string()) });

/**
 * Runs containers with runc. Each process is a child of ours: `runc run` and `runc exec` stay in the foreground and
 * pass on its exit code, which a detached runc would leave to process 1. A container is kept after its end, so that
 * its cgroup can still tell whether it ran out of memory.
 */
export class RuncRuntime implements ContainerRuntime {
  readonly #deps: RuncDeps;

  constructor(deps: RuncDeps) {
    this.#deps = deps;
  }

  async start(plan: ContainerPlan): Promise<LaunchedProcess> {
    await writeFile(join(plan.bundle, "config.json"), JSON.stringify(plan.config));
    const { pidFile, logFile } = await processFiles(plan, "init");
    return launch(this.#deps.clock, {
      argv: this.#runc(
        ["--log", logFile],
        "run",
        "--keep",
        "--bundle",
        plan.bundle,
        "--pid-file",
        pidFile,
        plan.id,
      ),
      pidFile,
      logFile,
      terminal: plan.process.Terminal,
    });
  }

  async exec(plan: ContainerPlan, execId: string, process: Process): Promise<LaunchedProcess> {
    const { pidFile, logFile, folder } = await processFiles(plan, `exec-${execId}`);
    const processFile = join(folder, "process.json");
    await writeFile(processFile, JSON.stringify(toProcessJson(process)));
    return launch(this.#deps.clock, {
      argv: this.#runc(["--log", logFile], "exec", "--process", processFile, "--pid-file", pidFile, plan.id),
      pidFile,
      logFile,
      terminal: process.Terminal,
    });
  }

  async signalAll(id: string, signal: number): Promise<void> {
    const paths = await this.#cgroupPaths(id);
    const procs = paths["pids"] ?? paths[""] ?? paths["memory"];
    if (procs === undefined) return;
    // cgroup v2 kills a whole group at once.
    const unified = paths[""];
    if (
      unified !== undefined &&
      signal === SIGKILL &&
      (await writeControl(join(unified, "cgroup.kill"), "1"))
    )
      return;
    const freezer = paths["freezer"];
    const state = freezer === undefined ? undefined : join(freezer, "freezer.state");
    // Frozen, no process can fork out of the list that is read.
    if (state !== undefined) await writeControl(state, "FROZEN");
    const pids = (await readFile(join(procs, "cgroup.procs"), "utf8").catch(() => "")).split("\n");
    // 0 stands for a process of another pid namespace; to kill(2) it would mean ourselves.
    for (const pid of pids.map(Number).filter((number) => number > 0)) sendSignal(pid, signal);
    if (state !== undefined) await writeControl(state, "THAWED");
  }

  async pause(id: string): Promise<void> {
    await this.#run("pause", id);
  }

  async resume(id: string): Promise<void> {
    await this.#run("resume", id);
  }

  async update(id: string, resources: LinuxResources): Promise<void> {
    const argv = this.#runc([], "update", "--resources", "-", id);
    const done = await this.#deps.exec.run(argv, { input: JSON.stringify(toResourcesJson(resources)) });
    if (done.code !== 0) throw internal(`cannot update container ${id}: ${lastMessage(done.stderr)}`);
  }

  async stats(id: string): Promise<StatsContainerResponse> {
    const done = await this.#deps.exec.run(this.#runc([], "events", "--stats", id));
    if (done.code === 0) return parseRuncStats(done.stdout);
    // The real agent still reads the cgroup of a container that has ended; runc does not.
    if (done.stderr.includes("is not running")) return EMPTY_STATS;
    throw internal(`cannot read the figures of container ${id}: ${lastMessage(done.stderr)}`);
  }

  async oomKills(id: string): Promise<number> {
    const paths = await this.#cgroupPaths(id);
    const memory = paths["memory"] ?? paths[""];
    if (memory === undefined) return 0;
    const file = paths["memory"] === undefined ? "memory.events" : "memory.oom_control";
    const text = await readFile(join(memory, file), "utf8").catch(() => "");
    return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
  }

  async remove(id: string): Promise<void> {
    const done = await this.#deps.exec.run(this.#runc([], "delete", "--force", id));
    if (done.code !== 0) throw internal(`cannot remove container ${id}: ${lastMessage(done.stderr)}`);
  }

  #runc(log: readonly string[], command: string, ...args: string[]): readonly [string, ...string[]] {
    return ["runc", "--root", this.#deps.stateDir, ...log, "--log-format", "json", command, ...args];
  }

  async #run(command: string, id: string): Promise<void> {
    const done = await this.#deps.exec.run(this.#runc([], command, id));
    if (done.code !== 0) throw internal(`cannot ${command} container ${id}: ${lastMessage(done.stderr)}`);
  }

  /** By controller; "" is the unified hierarchy. Empty before the container has run. */
  async #cgroupPaths(id: string): Promise<Readonly<Record<string, string>>> {
    const file = join(this.#deps.stateDir, id, "state.json");
    const text = await readFile(file, "utf8").catch(() => undefined);
    if (text === undefined) return {};
    const parsed = v.safeParse(STATE, parseJson(text, file));
    if (!parsed.success) throw internal(`${file} is not runc's state: ${parsed.issues[0].message}`);
    return parsed.output.cgroup_paths;
  }
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw internal(`${file} is not JSON: ${describeError(cause)}`, { cause });
  }
}

/** False where the kernel has no such control, or its group is gone. */
async function writeControl(path: string, value: string): Promise<boolean> {
  try {
    await writeFile(path, value, { flag: "r+" });
    return true;
  } catch {
    // What it was for is done in the other way, or is not needed any more.
    return false;
  }
}

async function processFiles(
  plan: ContainerPlan,
  name: string,
): Promise<{ folder: string; pidFile: string; logFile: string }> {
  const folder = join(plan.bundle, "processes", name);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return { folder, pidFile: join(folder, "pid"), logFile: join(folder, "log") };
}

/** Sends a signal; false if there is no such process. */
export function sendSignal(pid: number, signal: number): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
    throw internal(`cannot send signal ${signal} to process ${pid}: ${describeError(error)}`, {
      cause: error,
    });
  }
}
