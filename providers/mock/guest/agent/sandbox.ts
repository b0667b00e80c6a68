import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { internal, invalidRequest, notFound } from "../../../../src/errors/index.ts";
import type {
  CreateContainerRequest,
  CreateSandboxRequest,
  ExecProcessRequest,
  Storage,
} from "../../../../src/gen/agent/agent.ts";
import type { Clock, Exec, Log } from "../../../../src/platform/index.ts";
import { inVm } from "../settings.ts";
import { Container } from "./container.ts";
import { type Namespace, toConfigJson } from "./oci-spec.ts";
import { OomEvents } from "./oom.ts";
import { PAUSE_PROCESS, pauseMounts } from "./pause.ts";
import type { AgentProcess } from "./process.ts";
import type { ContainerRuntime } from "./runtime.ts";
import { addStorage, isSandbox, removeStorage } from "./storages.ts";

const CONTAINERS_DIR = "/run/kata-containers";
const NAMESPACES_DIR = "/run/sandbox-ns";
/** The Rust shim calls namespaces as /proc does, the Go one as the OCI specification. */
const OCI_NAMES: Readonly<Record<string, string>> = { mnt: "mount", net: "network" };
const ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;

export interface SandboxDeps {
  readonly runtime: ContainerRuntime;
  readonly exec: Exec;
  readonly clock: Clock;
  readonly log: Log;
  readonly root: string;
  readonly imagesDir: string;
  readonly rootless: boolean;
  /** The pod's network namespace, which every container joins; "" without one. */
  readonly podNetns: string;
}

/** The pod as its VM sees it: shared namespaces, containers, and what is mounted for all of them. */
export class Sandbox {
  readonly oomEvents: OomEvents = new OomEvents();
  readonly #deps: SandboxDeps;
  readonly #containers: Map<string, Container> = new Map();
  #storages: readonly Storage[] = [];
  #sharedPidns: AgentProcess | undefined;

  constructor(deps: SandboxDeps) {
    this.#deps = deps;
  }

  /** Sets up what the pod's containers share. */
  async create(request: CreateSandboxRequest): Promise<void> {
    await mkdir(inVm(this.#deps.root, CONTAINERS_DIR), { recursive: true });
    if (!this.#deps.rootless) await this.#makeNamespaces(request.hostname);
    for (const storage of request.storages) await addStorage(this.#deps, storage);
    this.#storages = request.storages;
  }

  /** Ends every container. Pending and later GetOOMEvents fail as the real agent's do. */
  async destroy(): Promise<void> {
    const containers = [...this.#containers.values()].reverse();
    this.#containers.clear();
    for (const container of containers) await container.remove();
    for (const storage of this.#storages) await removeStorage(this.#deps, storage);
    this.#storages = [];
    this.oomEvents.end();
  }

  /** Prepares a container: its root file system and specification. Nothing runs yet. */
  async createContainer(request: CreateContainerRequest): Promise<void> {
    const id = request.containerId;
    if (!ID.test(id)) throw invalidRequest(`${JSON.stringify(id)} is not a container id`);
    const spec = request.OCI;
    const requested = spec?.Process;
    if (spec?.Root === undefined || requested === undefined) {
      throw internal(`container ${id} comes without a root file system or process`);
    }
    if (this.#containers.has(id)) throw internal(`container ${id} exists already`);
    const guestPull = request.storages.some((storage) => storage.driver === "image_guest_pull");
    const isPause = guestPull && isSandbox(spec.Annotations);
    const process = isPause ? PAUSE_PROCESS : requested;
    const bundle = inVm(this.#deps.root, join(CONTAINERS_DIR, id));
    await mkdir(bundle, { recursive: true, mode: 0o700 });
    const container = new Container(this.#deps, {
      plan: {
        id,
        bundle,
        rootfs: inVm(this.#deps.root, spec.Root.Path),
        process,
        config: toConfigJson(spec, {
          rootfs: inVm(this.#deps.root, spec.Root.Path),
          namespaces: this.#namespaces(spec.Linux?.Namespaces ?? [], request.sandboxPidns),
          cgroupsPath: (spec.Linux?.CgroupsPath ?? id).replace(/^\/+/, ""),
          extraMounts: isPause ? pauseMounts() : [],
          process,
        }),
      },
      memoryLimited: (spec.Linux?.Resources?.Memory?.Limit ?? 0n) > 0n,
      onOom: () => this.oomEvents.push(id),
    });
    this.#containers.set(id, container);
    try {
      await this.#provide(container, request);
    } catch (error) {
      this.#containers.delete(id);
      await container.remove();
      throw error;
    }
    this.#sharedPidns ??= container.init;
  }

  /** Starts another process in a container. */
  async exec(request: ExecProcessRequest): Promise<void> {
    if (request.process === undefined) throw internal("Unable to parse process from ExecProcessRequest");
    if (!ID.test(request.execId)) throw invalidRequest(`${JSON.stringify(request.execId)} is not an exec id`);
    await this.container(request.containerId).exec(request.execId, request.process);
  }

  /** Throws with the real agent's text for one that it does not know (rpc.rs). */
  container(id: string): Container {
    const found = this.#containers.get(id);
    if (found === undefined) throw internal("Invalid container id");
    return found;
  }

  /** The process of a stream or wait call; an empty exec id means the first. Codes and texts of the real agent (sandbox.rs, SandboxError). */
  process(containerId: string, execId: string): AgentProcess {
    const container = this.#containers.get(containerId);
    if (container === undefined) throw invalidRequest("InvalidContainerId");
    const found = container.process(execId);
    if (found === undefined) throw notFound(execId === "" ? "InitProcessNotFound" : "InvalidExecId");
    return found;
  }

  async removeContainer(id: string): Promise<void> {
    const container = this.container(id);
    await container.remove();
    this.#containers.delete(id);
  }

  async #provide(container: Container, request: CreateContainerRequest): Promise<void> {
    for (const storage of request.storages) {
      container.onRemove(() => removeStorage(this.#deps, storage));
      await addStorage(this.#deps, storage);
    }
    // As the stock forwarder does for a bind mount whose source is not there (pkg/forwarder/interceptor).
    if (this.#deps.rootless) return;
    for (const mount of request.OCI?.Mounts ?? []) {
      if (mount.type === "bind") await mkdir(mount.source, { recursive: true }).catch(ignoreExisting);
    }
  }

  #namespaces(requested: readonly { Type: string }[], sandboxPidns: boolean): readonly Namespace[] {
    const kept = requested
      .map(({ Type: type }) => OCI_NAMES[type] ?? type)
      .filter((type) => type !== "pid" && type !== "network");
    const namespaces: Namespace[] = kept.map((type) =>
      type === "ipc" || type === "uts"
        ? { type, path: inVm(this.#deps.root, `${NAMESPACES_DIR}/${type}`) }
        : { type },
    );
    if (this.#deps.podNetns !== "") namespaces.push({ type: "network", path: this.#deps.podNetns });
    namespaces.push(this.#pidNamespace(sandboxPidns));
    return namespaces;
  }

  #pidNamespace(shared: boolean): Namespace {
    if (!shared || this.#sharedPidns === undefined) return { type: "pid" };
    const { pid } = this.#sharedPidns;
    if (pid === undefined) throw internal("Sandbox does not have sandbox_pidns");
    return { type: "pid", path: `/proc/${pid}/ns/pid` };
  }

  /** Files that keep the shared namespaces alive without a process. */
  async #makeNamespaces(hostname: string): Promise<void> {
    const folder = inVm(this.#deps.root, NAMESPACES_DIR);
    await this.#deps.exec.run(["umount", "--lazy", join(folder, "uts"), join(folder, "ipc")]);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    for (const name of ["uts", "ipc"]) await writeFile(join(folder, name), "");
    const command = hostname === "" ? ["true"] : ["hostname", "--", hostname];
    const made = await this.#deps.exec.run([
      "unshare",
      `--uts=${join(folder, "uts")}`,
      `--ipc=${join(folder, "ipc")}`,
      "--",
      ...command,
    ]);
    if (made.code !== 0) throw internal(`cannot make the pod's namespaces: ${made.stderr.trim()}`);
  }
}

function ignoreExisting(error: unknown): void {
  if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
}
