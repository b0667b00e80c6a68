import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { unavailable, unsupported } from "../../../src/errors/index.ts";
import type { Clock, Log } from "../../../src/platform/index.ts";
import type { AddressPool } from "./addresses.ts";
import { signalAll, signalProcess } from "./cgroups.ts";
import type { LinkFault, Machine, MachineSpec, Machines } from "./machines.ts";
import type { VmFiles } from "./vm-files.ts";

/** In the environment of everything that a VM runs: `<instance>/<vm id>`. */
const MARK = "PEERPOD_GUEST_VM";
const KILL_LIMIT_MS = 30_000;

export interface ProcessMachinesDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly pool: AddressPool;
  readonly files: VmFiles;
  readonly instance: string;
}

/** VMs as plain processes, each with a loopback address of its own: for machines where namespaces cannot be made. */
export function processMachines(deps: ProcessMachinesDeps): Machines {
  return {
    rootless: true,
    async open() {
      await killMarked(deps.clock, `${deps.instance}/`, []);
      for (const id of await deps.files.vmIds()) {
        deps.log.warn("removing what an earlier machine room left", { step: "clean-up", vmId: id });
        await deps.files.remove(id);
      }
    },
    prepare: (spec) => new ProcessMachine(deps, spec),
    async inventory() {
      return [
        ...(await findMarked(`${deps.instance}/`, [])).map((pid) => `process ${pid}`),
        ...(await deps.files.vmIds()).map((id) => `files of ${id}`),
      ];
    },
    close: () => deps.files.close(),
  };
}

interface ProcessInfo {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  readonly state: string;
}

/** Fields of /proc/<pid>/stat after the command's name, which may hold any character (proc(5)). */
async function processes(): Promise<readonly ProcessInfo[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const infos = await Promise.all(
    pids.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
      const [state = "", parent, group, session] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return {
        pid: Number(pid),
        parent: Number(parent),
        group: Number(group),
        session: Number(session),
        state,
      };
    }),
  );
  return infos.filter(({ state }) => state !== "" && state !== "Z" && state !== "X");
}

const isMarked = async (pid: number, mark: string): Promise<boolean> =>
  (await readFile(`/proc/${pid}/environ`, "latin1").catch(() => ""))
    .split("\0")
    .some((entry) => entry.startsWith(`${MARK}=${mark}`));

/** Processes with the mark, those descended from one, and those in the groups and sessions of `leaders`. */
async function findMarked(mark: string, leaders: readonly number[]): Promise<readonly number[]> {
  const all = await processes();
  const marked = await Promise.all(all.map(({ pid }) => isMarked(pid, mark)));
  const found = new Set(
    all
      .filter(
        ({ pid, group, session }, index) =>
          marked[index] === true || [pid, group, session].some((id) => leaders.includes(id)),
      )
      .map(({ pid }) => pid),
  );
  for (let before = -1; before !== found.size; ) {
    before = found.size;
    for (const { pid, parent } of all) if (found.has(parent)) found.add(pid);
  }
  found.delete(process.pid);
  return [...found];
}

/** Ends them all. `leaders` must be processes that were not reaped by anybody else, or their numbers may be another's by now. */
async function killMarked(clock: Clock, mark: string, leaders: readonly number[]): Promise<void> {
  const deadline = clock.monotonicMs() + KILL_LIMIT_MS;
  for (let waitMs = 2; ; waitMs = Math.min(2 * waitMs, 50)) {
    const pids = await findMarked(mark, leaders);
    if (pids.length === 0) return;
    if (clock.monotonicMs() > deadline)
      throw unavailable(`processes ${pids.join(", ")} of ${mark} do not end after SIGKILL`);
    for (const pid of pids) signalProcess(pid, "SIGKILL");
    await clock.sleep(waitMs);
  }
}

class ProcessMachine implements Machine {
  readonly #deps: ProcessMachinesDeps;
  readonly #spec: MachineSpec;
  readonly exited: Promise<string>;
  #setExited: (text: string) => void = () => undefined;
  #child: ChildProcess | undefined;
  #addresses: readonly string[] = [];
  #destroyed: Promise<void> | undefined;

  constructor(deps: ProcessMachinesDeps, spec: MachineSpec) {
    this.#deps = deps;
    this.#spec = spec;
    this.exited = new Promise((resolve) => {
      this.#setExited = resolve;
    });
  }

  get addresses(): readonly string[] {
    return this.#addresses;
  }

  async boot(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { pool, files, instance } = this.#deps;
    const { id, name, argv, interfaces, onConsole } = this.#spec;
    this.#addresses = Array.from({ length: interfaces }, () => pool.take());
    const dir = await files.create(id, this.#spec.userData);
    await mkdir(join(dir, "root"), { mode: 0o700 });
    const [file, ...args] = argv;
    // A session of its own: what the guest starts can be found by it.
    const child = spawn(file, args, {
      cwd: join(dir, "root"),
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        HOME: join(dir, "root"),
        LANG: "C.UTF-8",
        HOSTNAME: name,
        PEERPOD_GUEST_ROOTLESS: "1",
        PEERPOD_GUEST_USER_DATA: join(dir, "cidata", "user-data"),
        PEERPOD_GUEST_ADDRESS: this.#addresses[0] ?? "",
        PEERPOD_GUEST_ROOT: join(dir, "root"),
        [MARK]: `${instance}/${id}`,
      },
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", onConsole);
      stream.on("error", () => undefined); // A console that breaks is one that has ended.
    }
    child.on("exit", (code, signalName) =>
      this.#setExited(signalName ? `ended by ${signalName}` : `its image ended with exit status ${code}`),
    );
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", (cause) =>
        reject(unavailable(`cannot start image ${file}: ${cause.message}`, { cause })),
      );
    });
  }

  async kill(): Promise<void> {
    const child = this.#child;
    const alive = child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
    // Stopped first: a dead leader's children would belong to nobody before they are found.
    if (alive) signalProcess(child.pid, "SIGSTOP");
    await killMarked(this.#deps.clock, `${this.#deps.instance}/${this.#spec.id}`, alive ? [child.pid] : []);
  }

  async freeze(frozen: boolean): Promise<void> {
    const leader = this.#child?.pid;
    const mark = `${this.#deps.instance}/${this.#spec.id}`;
    await signalAll(
      () => findMarked(mark, leader === undefined ? [] : [leader]),
      frozen ? "SIGSTOP" : "SIGCONT",
    );
  }

  setUserData(userData: MachineSpec["userData"]): Promise<void> {
    return this.#deps.files.setUserData(this.#spec.id, userData);
  }

  async breakLink(fault: LinkFault): Promise<void> {
    throw unsupported(
      `link fault "${fault.kind}" needs VMs with network namespaces, and this machine room runs without root`,
    );
  }

  destroy(): Promise<void> {
    this.#destroyed ??= this.#takeAway().catch((error: unknown) => {
      this.#destroyed = undefined;
      throw error;
    });
    return this.#destroyed;
  }

  async #takeAway(): Promise<void> {
    await this.kill();
    if (this.#child?.pid !== undefined) await this.exited;
    for (const address of this.#addresses) this.#deps.pool.release(address);
    await this.#deps.files.remove(this.#spec.id);
  }
}
