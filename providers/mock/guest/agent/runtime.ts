import type { Writable } from "node:stream";
import type { StatsContainerResponse } from "../../../../src/gen/agent/agent.ts";
import type { LinuxResources, Process } from "../../../../src/gen/agent/oci.ts";
import type { Json } from "./oci-spec.ts";
import type { OutputStream } from "./output.ts";

/** A process that runs, or ran, in a container. */
export interface LaunchedProcess {
  /** As the VM sees it. */
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** The exit code, or 128 + signal. Never rejects. */
  readonly exited: Promise<number>;
  /** Sets the size of its terminal, in characters. */
  resize(rows: number, columns: number): Promise<void>;
}

/** What a container is made from. */
export interface ContainerPlan {
  readonly id: string;
  /** A folder of the container's own, which exists. */
  readonly bundle: string;
  readonly rootfs: string;
  /** The whole config.json, of which `process` is the first process. */
  readonly config: Json;
  readonly process: Process;
}

/** What runs containers: runc in a VM, plain processes without root. All failures are CaaErrors. */
export interface ContainerRuntime {
  /** Starts the container's first process. Rejects when it cannot be started, naming why. */
  start(plan: ContainerPlan): Promise<LaunchedProcess>;
  /** Starts another process in a running container. `execId` is unique in it. */
  exec(plan: ContainerPlan, execId: string, process: Process): Promise<LaunchedProcess>;
  /** Sends `signal` to every process of the container. */
  signalAll(id: string, signal: number): Promise<void>;
  pause(id: string): Promise<void>;
  resume(id: string): Promise<void>;
  update(id: string, resources: LinuxResources): Promise<void>;
  stats(id: string): Promise<StatsContainerResponse>;
  /** How often the kernel killed a process of the container for want of memory; it still answers after its end. */
  oomKills(id: string): Promise<number>;
  /** Ends what is left of it and forgets it. Removing what is not there succeeds. */
  remove(id: string): Promise<void>;
}
