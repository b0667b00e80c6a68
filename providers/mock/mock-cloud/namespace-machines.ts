import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { statSync } from "node:fs";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { CaaError, describeError, internal, unavailable } from "../../../src/errors/index.ts";
import { type Clock, type Exec, installedFile, type Log } from "../../../src/platform/index.ts";
import { Cgroups, signalAll } from "./cgroups.ts";
import type { Machine, MachineSpec, Machines } from "./machines.ts";
import type { NodeNetwork, VmInterface } from "./node-network.ts";
import { cgroupMounts, type MountPoint, parseMountInfo, planRootFileSystem } from "./root-file-system.ts";
import type { VmFiles } from "./vm-files.ts";

const BOOT_SCRIPT: string = installedFile("providers/mock/mock-cloud/vm-boot.sh");
/** Longest from the start of the init to the start of the image. */
const BOOT_LIMIT_MS = 60_000;

export interface NamespaceMachinesDeps {
  readonly clock: Clock;
  readonly exec: Exec;
  readonly log: Log;
  readonly network: NodeNetwork;
  readonly files: VmFiles;
  readonly instance: string;
}

const isDirectory = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

const currentMounts = async (): Promise<readonly MountPoint[]> =>
  parseMountInfo(await readFile("/proc/self/mountinfo", "utf8"));

/** What a VM's root has beyond the host's: the place where the host's root is put aside, and the links that /dev has everywhere. */
async function writeSkeleton(path: string): Promise<void> {
  await mkdir(join(path, ".host"), { recursive: true, mode: 0o755 });
  await mkdir(join(path, "dev", "net"), { recursive: true, mode: 0o755 });
  const links = { ptmx: "pts/ptmx", fd: "/proc/self/fd", stdin: "fd/0", stdout: "fd/1", stderr: "fd/2" };
  await Promise.all(Object.entries(links).map(([name, target]) => symlink(target, join(path, "dev", name))));
}

/** VMs as sets of Linux namespaces. Needs root and the tools of util-linux and iproute2. */
export async function namespaceMachines(deps: NamespaceMachinesDeps): Promise<Machines> {
  const cgroups = new Cgroups(deps.clock, deps.instance, cgroupMounts(await currentMounts()));
  const parts = { ...deps, cgroups };
  return {
    rootless: false,
    async open() {
      const leftovers = new Set([...(await cgroups.vmIds()), ...(await deps.files.vmIds())]);
      for (const id of leftovers) {
        deps.log.warn("removing what an earlier machine room left", { step: "clean-up", vmId: id });
        await cgroups.killAll(id);
        await cgroups.remove(id);
        await deps.files.remove(id);
      }
      await cgroups.open();
      await deps.network.open();
    },
    prepare: (spec) => new NamespaceMachine(parts, spec),
    async inventory() {
      const ids = [...(await cgroups.vmIds())];
      return [
        ...ids.map((id) => `cgroup of ${id}`),
        ...(await Promise.all(ids.map((id) => cgroups.processes(id)))).flat().map((pid) => `process ${pid}`),
        ...(await deps.network.devices()).map((device) => `device ${device}`),
        ...(await deps.files.vmIds()).map((id) => `files of ${id}`),
      ];
    },
    async close() {
      await deps.network.close();
      await cgroups.close();
      await deps.files.close();
    },
  };
}

interface Parts extends NamespaceMachinesDeps {
  readonly cgroups: Cgroups;
}

/** Reads the init's lines from file descriptor 3. */
async function expectLine(channel: Duplex, line: string, signal: AbortSignal): Promise<void> {
  const ended = once(channel, "close", { signal }).then(() => {
    throw unavailable(`the VM's init ended before it said "${line}"`);
  });
  const said = once(channel, "data", { signal }).then(([chunk]: unknown[]) => {
    if (String(chunk).trim() !== line)
      throw internal(`the VM's init said "${String(chunk).trim()}" instead of "${line}"`);
  });
  // Whichever loses is settled when the channel closes; its outcome is of no interest.
  ended.catch(() => undefined);
  said.catch(() => undefined);
  await Promise.race([said, ended]);
}

class NamespaceMachine implements Machine {
  readonly #parts: Parts;
  readonly #spec: MachineSpec;
  readonly exited: Promise<string>;
  #setExited: (text: string) => void = () => undefined;
  #interfaces: readonly VmInterface[] = [];
  #attached = false;
  #child: ChildProcess | undefined;
  #destroyed: Promise<void> | undefined;
  #lastWords = "";

  constructor(parts: Parts, spec: MachineSpec) {
    this.#parts = parts;
    this.#spec = spec;
    this.exited = new Promise((resolve) => {
      this.#setExited = resolve;
    });
  }

  get addresses(): readonly string[] {
    return this.#interfaces.map(({ address }) => address);
  }

  async boot(aborted: AbortSignal): Promise<void> {
    const { network, cgroups, files, clock } = this.#parts;
    const signal = AbortSignal.any([aborted, clock.timeout(BOOT_LIMIT_MS)]);
    const { id, interfaces } = this.#spec;
    signal.throwIfAborted();
    this.#interfaces = network.plan(id.slice(2, 10), interfaces);
    await this.#writeFiles(await files.create(id, this.#spec.userData));
    const groups = await cgroups.create(id);
    signal.throwIfAborted();
    const { child, channel } = this.#spawn(groups);
    this.#child = child;
    try {
      await expectLine(channel, "namespaces", signal);
      if (child.pid === undefined) throw internal(`VM ${this.#spec.name} has no process id`);
      this.#attached = true;
      await network.attach(this.#interfaces, child.pid);
      channel.write("go\n");
      await expectLine(channel, "up", signal);
    } catch (error) {
      const said = this.#lastWords.trim().split("\n").slice(-3).join("; ");
      if (error instanceof CaaError && said !== "")
        throw unavailable(`${error.message}: ${said}`, { cause: error });
      throw error;
    } finally {
      channel.destroy();
    }
  }

  async #writeFiles(dir: string): Promise<void> {
    const plan = planRootFileSystem(dir, await currentMounts(), isDirectory);
    await mkdir(join(dir, "disk"), { mode: 0o700 });
    await Promise.all([
      writeSkeleton(join(dir, "skeleton")),
      writeFile(join(dir, "fstab"), plan.fstab),
      writeFile(join(dir, "extra-fstab"), plan.extraFstab),
      writeFile(join(dir, "directories"), `${plan.directories.join("\n")}\n`),
      writeFile(join(dir, "network"), this.#parts.network.insideBatch(this.#interfaces)),
    ]);
  }

  #spawn(groups: readonly string[]): { child: ChildProcess; channel: Duplex } {
    const { id, name, argv, onConsole } = this.#spec;
    const child = spawn("/bin/sh", [BOOT_SCRIPT, "enter", ...argv], {
      cwd: "/",
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      env: {
        PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        VM_NAME: name,
        VM_DIR: this.#parts.files.dir(id),
        VM_CGROUPS: groups.join(":"),
      },
    });
    const [, stdout, stderr, channel] = child.stdio;
    if (!stdout || !stderr || !(channel instanceof Duplex))
      throw internal("a VM was started without its pipes");
    for (const stream of [stdout, stderr]) {
      stream.on("data", (chunk: Buffer) => {
        this.#lastWords = `${this.#lastWords}${chunk.toString()}`.slice(-2000);
        onConsole(chunk);
      });
      stream.on("error", () => undefined); // A console that breaks is one that has ended.
    }
    channel.on("error", () => undefined); // Seen as its close.
    child.on("error", (error) => this.#setExited(`could not be started: ${error.message}`));
    child.on("exit", (code, signalName) =>
      this.#setExited(signalName ? `ended by ${signalName}` : `its image ended with exit status ${code}`),
    );
    return { child, channel };
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#parts.cgroups.killAll(this.#spec.id);
  }

  async freeze(frozen: boolean): Promise<void> {
    const { cgroups } = this.#parts;
    // unshare only waits; stopped, it could not report the end of the VM.
    const list = async (): Promise<readonly number[]> =>
      (await cgroups.processes(this.#spec.id)).filter((pid) => pid !== this.#child?.pid);
    await signalAll(list, frozen ? "SIGSTOP" : "SIGCONT");
  }

  setUserData(userData: MachineSpec["userData"]): Promise<void> {
    return this.#parts.files.setUserData(this.#spec.id, userData);
  }

  async breakLink(fault: Parameters<Machine["breakLink"]>[0]): Promise<void> {
    const pid = this.#child?.pid;
    if (pid === undefined) throw unavailable(`VM ${this.#spec.name} is not running`);
    await this.#parts.network.breakLink(this.#interfaces, pid, fault);
  }

  destroy(): Promise<void> {
    this.#destroyed ??= this.#takeAway().catch((error: unknown) => {
      this.#destroyed = undefined;
      throw unavailable(`VM ${this.#spec.name} cannot be taken away: ${describeError(error)}`, {
        cause: error,
      });
    });
    return this.#destroyed;
  }

  async #takeAway(): Promise<void> {
    const { cgroups, network, files } = this.#parts;
    const { id } = this.#spec;
    await this.kill();
    if (this.#child?.pid !== undefined) await this.exited;
    if (this.#attached) await network.detach(this.#interfaces);
    else network.release(this.#interfaces);
    this.#interfaces = [];
    await cgroups.remove(id);
    await files.remove(id);
  }
}
