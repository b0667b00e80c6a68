import { rm } from "node:fs/promises";
import { describeError, internal } from "../../../../src/errors/index.ts";
import type { StatsContainerResponse } from "../../../../src/gen/agent/agent.ts";
import type { LinuxResources, Process } from "../../../../src/gen/agent/oci.ts";
import type { Clock, Log } from "../../../../src/platform/index.ts";
import { AgentProcess } from "./process.ts";
import type { ContainerPlan, ContainerRuntime } from "./runtime.ts";

const SIGKILL = 9;
/** How often a container with a memory limit is asked whether the kernel killed something in it; the kernel tells nobody. */
const OOM_POLL_MS = 1_000;

export interface ContainerDeps {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Log;
}

export interface ContainerOptions {
  readonly plan: ContainerPlan;
  /** Whether it can run out of memory on its own. */
  readonly memoryLimited: boolean;
  readonly onOom: () => void;
}

/** A container from its preparation to its removal, with its processes by exec id; the first one's is the container's own id. */
export class Container {
  readonly init: AgentProcess;
  readonly #deps: ContainerDeps;
  readonly #plan: ContainerPlan;
  readonly #onOom: () => void;
  readonly #processes: Map<string, AgentProcess> = new Map();
  readonly #undo: (() => Promise<void>)[] = [];
  #memoryLimited: boolean;
  #oomKillsSeen = 0;
  #stopPolling: (() => void) | undefined;
  #removed = false;

  constructor(deps: ContainerDeps, options: ContainerOptions) {
    this.#deps = deps;
    this.#plan = options.plan;
    this.#onOom = options.onOom;
    this.#memoryLimited = options.memoryLimited;
    this.init = new AgentProcess(options.plan.id, { isInit: true, terminal: options.plan.process.Terminal });
    this.#processes.set(options.plan.id, this.init);
  }

  /** Registers what is undone, last first, when the container is removed. */
  onRemove(undo: () => Promise<void>): void {
    this.#undo.push(undo);
  }

  /** Undefined for one that is not there, or was reaped. An empty id means the first process. */
  process(execId: string): AgentProcess | undefined {
    return this.#processes.get(execId === "" ? this.#plan.id : execId);
  }

  async start(): Promise<void> {
    await this.init.start(this.#deps.runtime.start(this.#plan), () => this.#checkOom());
    this.#pollOom();
  }

  async exec(execId: string, process: Process): Promise<void> {
    if (this.#processes.has(execId)) throw internal(`exec id ${execId} is in use`);
    const added = new AgentProcess(execId, { isInit: false, terminal: process.Terminal });
    this.#processes.set(execId, added);
    try {
      await added.start(this.#deps.runtime.exec(this.#plan, execId, process), () => this.#checkOom());
    } catch (error) {
      this.#processes.delete(execId);
      throw error;
    }
  }

  /** The exit code of a process, whose entry is gone afterwards; all who wait at that moment get it. */
  async wait(process: AgentProcess): Promise<number> {
    const code = await process.exited;
    this.#processes.delete(process.id);
    process.release();
    return code;
  }

  async signalAll(signal: number): Promise<void> {
    if (this.init.pid === undefined) await this.init.signal(signal);
    else await this.#deps.runtime.signalAll(this.#plan.id, signal);
  }

  pause(): Promise<void> {
    return this.#deps.runtime.pause(this.#plan.id);
  }

  resume(): Promise<void> {
    return this.#deps.runtime.resume(this.#plan.id);
  }

  async update(resources: LinuxResources): Promise<void> {
    await this.#deps.runtime.update(this.#plan.id, resources);
    if ((resources.Memory?.Limit ?? 0n) > 0n && !this.#memoryLimited) {
      this.#memoryLimited = true;
      this.#pollOom();
    }
  }

  stats(): Promise<StatsContainerResponse> {
    return this.#deps.runtime.stats(this.#plan.id);
  }

  /** Ends it and leaves nothing behind. */
  async remove(): Promise<void> {
    this.#removed = true;
    this.#stopPolling?.();
    await this.init.signal(SIGKILL);
    await this.#deps.runtime.remove(this.#plan.id);
    for (const process of this.#processes.values()) process.release();
    for (const undo of this.#undo.reverse()) await undo();
    await rm(this.#plan.rootfs, { recursive: true, force: true });
    await rm(this.#plan.bundle, { recursive: true, force: true });
  }

  #pollOom(): void {
    if (!this.#memoryLimited || this.#removed) return;
    this.#stopPolling?.();
    this.#stopPolling = this.#deps.clock.schedule(OOM_POLL_MS, () => {
      void this.#checkOom().then(() => this.#pollOom());
    });
  }

  async #checkOom(): Promise<void> {
    if (!this.#memoryLimited) return;
    try {
      const kills = await this.#deps.runtime.oomKills(this.#plan.id);
      if (kills > this.#oomKillsSeen) this.#onOom();
      this.#oomKillsSeen = Math.max(kills, this.#oomKillsSeen);
    } catch (error) {
      this.#deps.log.warn("cannot tell whether a container ran out of memory", {
        containerId: this.#plan.id,
        error: describeError(error),
      });
    }
  }
}
