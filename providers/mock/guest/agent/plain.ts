import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { constants } from "node:os";
import { isAbsolute, join } from "node:path";
import { internal, unsupported } from "../../../../src/errors/index.ts";
import { StatsContainerResponse } from "../../../../src/gen/agent/agent.ts";
import type { LinuxResources, Process } from "../../../../src/gen/agent/oci.ts";
import { OutputStream } from "./output.ts";
import { sendSignal } from "./runc.ts";
import type { ContainerPlan, ContainerRuntime, LaunchedProcess } from "./runtime.ts";

import { EMPTY_STATS } from "./stats.ts";

const SIGKILL = 9;
const SIGSTOP = 19;
const SIGCONT = 18;
const SIGNAL_BASE = 128;
/** Nanoseconds of one tick of /proc/<pid>/stat; USER_HZ is 100 on every architecture that Node runs on. */
const TICK_NANOS = 10_000_000n;
const PAGE_BYTES = 4096n;

/**
 * Containers for a machine without root: plain processes with the host's root file system, in sessions of their own.
 * A command is taken from the host's, or from the unpacked image when the host has none of that name. There is no
 * isolation, no mount, no user, no limit and no terminal; the protocol is the same.
 */
export class PlainRuntime implements ContainerRuntime {
  /** Process groups of each container, the first process's first. */
  readonly #groups: Map<string, number[]> = new Map();
  readonly #marks: Readonly<Record<string, string>>;

  /** `marks` are added to the environment of every process. */
  constructor(marks: Readonly<Record<string, string>>) {
    this.#marks = marks;
  }

  async start(plan: ContainerPlan): Promise<LaunchedProcess> {
    this.#groups.set(plan.id, []);
    return this.#launch(plan, plan.process);
  }

  async exec(plan: ContainerPlan, _execId: string, process: Process): Promise<LaunchedProcess> {
    return this.#launch(plan, process);
  }

  async signalAll(id: string, signal: number): Promise<void> {
    for (const group of this.#groups.get(id) ?? []) sendSignal(-group, signal);
  }

  pause(id: string): Promise<void> {
    return this.signalAll(id, SIGSTOP);
  }

  resume(id: string): Promise<void> {
    return this.signalAll(id, SIGCONT);
  }

  /** Nothing holds a plain process to a limit. */
  async update(_id: string, _resources: LinuxResources): Promise<void> {}

  async stats(id: string): Promise<StatsContainerResponse> {
    const pids = this.#groups.get(id) ?? [];
    if (pids.length === 0) return EMPTY_STATS;
    const figures = await Promise.all(pids.map(figuresOf));
    const total = (key: "cpu" | "memory"): bigint => figures.reduce((sum, figure) => sum + figure[key], 0n);
    return StatsContainerResponse.create({
      cgroupStats: {
        cpuStats: { cpuUsage: { totalUsage: total("cpu") } },
        memoryStats: { usage: { usage: total("memory") } },
        pidsStats: { current: BigInt(pids.length) },
      },
    });
  }

  async oomKills(): Promise<number> {
    return 0;
  }

  async remove(id: string): Promise<void> {
    await this.signalAll(id, SIGKILL);
    this.#groups.delete(id);
  }

  async #launch(plan: ContainerPlan, process: Process): Promise<LaunchedProcess> {
    if (process.Terminal) throw unsupported("a terminal needs the guest to run as root");
    const [name = "", ...args] = process.Args;
    const cwd = join(plan.rootfs, process.Cwd);
    const child = spawn(findCommand(plan.rootfs, name, process.Env), args, {
      argv0: name,
      cwd: existsSync(cwd) ? cwd : "/",
      env: { ...this.#marks, ...Object.fromEntries(process.Env.map(splitEnv)) },
      detached: true,
      stdio: ["pipe", "pipe", "pipe"],
    });
    const pid = await spawned(child, name);
    this.#groups.get(plan.id)?.push(pid);
    child.stdin.on("error", () => {
      // A process that ended or closed its input: the writer is told by its own callback.
    });
    return {
      pid,
      stdin: child.stdin,
      stdout: new OutputStream(child.stdout),
      stderr: new OutputStream(child.stderr),
      exited: this.#exitOf(child, plan.id, pid),
      resize: () => Promise.reject(unsupported("there is no terminal")),
    };
  }

  #exitOf(child: ChildProcessWithoutNullStreams, id: string, pid: number): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    child.on("exit", (code, signal) => {
      const groups = this.#groups.get(id);
      const isInit = groups?.[0] === pid;
      if (isInit) for (const group of groups ?? []) sendSignal(-group, SIGKILL);
      if (isInit) this.#groups.set(id, []);
      else groups?.splice(groups.indexOf(pid), 1);
      resolve(code ?? SIGNAL_BASE + (signal === null ? 0 : constants.signals[signal]));
    });
    return promise;
  }
}

const splitEnv = (entry: string): [string, string] => {
  const at = entry.indexOf("=");
  return at < 0 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
};

function findCommand(rootfs: string, name: string, env: readonly string[]): string {
  const path = env.find((entry) => entry.startsWith("PATH="))?.slice("PATH=".length) ?? "/usr/bin:/bin";
  const places = isAbsolute(name) ? [name] : path.split(":").map((folder) => join(folder, name));
  const found = [...places, ...places.map((place) => join(rootfs, place))].find((place) => existsSync(place));
  if (found === undefined)
    throw internal(`exec: ${JSON.stringify(name)}: executable file not found in $PATH`);
  return found;
}

function spawned(child: ChildProcessWithoutNullStreams, name: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.on("spawn", () => resolve(child.pid ?? 0));
  child.on("error", (error) => reject(internal(`cannot run ${name}: ${error.message}`, { cause: error })));
  return promise;
}

/** CPU time in nanoseconds and resident bytes (proc(5), /proc/<pid>/stat fields 14, 15 and 24). */
async function figuresOf(pid: number): Promise<{ readonly cpu: bigint; readonly memory: bigint }> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const field = (number: number): bigint => BigInt(fields[number - 3] || 0);
  return { cpu: (field(14) + field(15)) * TICK_NANOS, memory: field(24) * PAGE_BYTES };
}
