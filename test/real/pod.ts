import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type CallOptions, Metadata, type ServiceError } from "@grpc/grpc-js";
import {
  ContainerConfig,
  ContainerState,
  type ContainerStatus,
  PodSandboxConfig,
} from "../../src/gen/kubernetes/cri.ts";
import { RUNTIME_HANDLER } from "./configs.ts";
import type { Node } from "./node.ts";
import { until } from "./service.ts";

/** Most time that a call to containerd may take. */
const CALL_TIMEOUT_MS = 180_000;

type Method<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => unknown;

/** One CRI call as a promise. */
function call<Request, Response>(
  method: Method<Request, Response>,
  request: Request,
  timeoutMs = CALL_TIMEOUT_MS,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    method(request, new Metadata(), { deadline: Date.now() + timeoutMs }, (error, response) =>
      error === null ? resolve(response) : reject(error),
    );
  });
}

/** What a container is to run. */
export interface ContainerSpec {
  readonly name: string;
  readonly command: readonly string[];
  /** Paths on the node by paths in the container. */
  readonly mounts?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly workingDir?: string;
  readonly user?: bigint;
  readonly tty?: boolean;
  readonly memoryLimitBytes?: bigint;
}

/** The outcome of an exec. */
export interface ExecOutcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A container that was started. */
export class Container {
  readonly id: string;
  readonly #node: Node;
  readonly #logFile: string;

  constructor(node: Node, id: string, logFile: string) {
    this.id = id;
    this.#node = node;
    this.#logFile = logFile;
  }

  /** Runs a command in the container to its end. */
  exec(...command: readonly string[]): Promise<ExecOutcome> {
    return this.execWithin(CALL_TIMEOUT_MS, ...command);
  }

  /** As exec; rejects with DEADLINE_EXCEEDED when containerd has not answered in time. */
  async execWithin(timeoutMs: number, ...command: readonly string[]): Promise<ExecOutcome> {
    const { cri } = this.#node;
    const request = { containerId: this.id, cmd: [...command], timeout: 60n };
    const answer = await call(cri.execSync.bind(cri), request, timeoutMs);
    return {
      code: answer.exitCode,
      stdout: Buffer.from(answer.stdout).toString(),
      stderr: Buffer.from(answer.stderr).toString(),
    };
  }

  async status(): Promise<ContainerStatus> {
    const { cri } = this.#node;
    const { status } = await call(cri.containerStatus.bind(cri), { containerId: this.id, verbose: false });
    if (status === undefined) throw new Error(`the CRI has no status of container ${this.id}`);
    return status;
  }

  async running(): Promise<boolean> {
    return (await this.status()).state === ContainerState.CONTAINER_RUNNING;
  }

  /** Waits for the end of the container. Resolves to its exit code. */
  exitCode(timeoutMs = 60_000): Promise<number> {
    return until(`the end of container ${this.id.slice(0, 8)}`, timeoutMs, async () => {
      const status = await this.status();
      return status.state === ContainerState.CONTAINER_EXITED ? { code: status.exitCode } : undefined;
    }).then(({ code }) => code);
  }

  /** What the container wrote to its standard output, as containerd logged it (`<time> stdout F|P <text>`, P without a line end). */
  async output(): Promise<string> {
    const text = await readFile(this.#logFile, "utf8");
    const parts: string[] = [];
    for (const line of text.split("\n")) {
      const [, stream, kind] = line.split(" ", 3);
      if (stream !== "stdout" || kind === undefined) continue;
      const at = line.indexOf(` stdout ${kind} `) + ` stdout ${kind} `.length;
      parts.push(line.slice(at), kind === "F" ? "\n" : "");
    }
    return parts.join("");
  }

  /** Size of containerd's log of the container, more than that of the output in it. */
  async logBytes(): Promise<number> {
    return (await stat(this.#logFile)).size;
  }

  /** Waits until the output holds `text`. */
  async printed(text: string, timeoutMs = 30_000): Promise<void> {
    await until(`output ${JSON.stringify(text)}`, timeoutMs, async () =>
      (await this.output()).includes(text),
    );
  }
}

/** A pod that runs. */
export class Pod {
  readonly id: string;
  readonly uid: string;
  readonly name: string;
  readonly #node: Node;
  readonly #config: PodSandboxConfig;

  private constructor(node: Node, id: string, config: PodSandboxConfig) {
    this.#node = node;
    this.id = id;
    this.uid = config.metadata?.uid ?? "";
    this.name = config.metadata?.name ?? "";
    this.#config = config;
  }

  /** Asks containerd for a pod in a pod VM, as the kubelet does. Resolves when it is ready. */
  static async run(
    node: Node,
    name: string,
    annotations: Readonly<Record<string, string>> = {},
  ): Promise<Pod> {
    const uid = crypto.randomUUID();
    const logDirectory = join(node.logs, "pods", uid);
    await mkdir(logDirectory, { recursive: true });
    const config = PodSandboxConfig.fromPartial({
      metadata: { name, uid, namespace: "default", attempt: 0 },
      hostname: name,
      logDirectory,
      dnsConfig: { servers: ["10.88.0.1"], searches: ["default.svc"], options: ["ndots:5"] },
      annotations: { ...annotations },
      linux: { cgroupParent: `/pods/${uid}` },
    });
    const { cri } = node;
    const request = { config, runtimeHandler: RUNTIME_HANDLER };
    const { podSandboxId } = await call(cri.runPodSandbox.bind(cri), request);
    return new Pod(node, podSandboxId, config);
  }

  /** Creates and starts a container. */
  async start(spec: ContainerSpec): Promise<Container> {
    const { cri } = this.#node;
    const logPath = `${spec.name}.log`;
    const config = ContainerConfig.fromPartial({
      metadata: { name: spec.name, attempt: 0 },
      image: { image: this.#node.imageName },
      command: [...spec.command],
      workingDir: spec.workingDir ?? "",
      envs: Object.entries(spec.env ?? {}).map(([key, value]) => ({ key, value })),
      mounts: Object.entries(spec.mounts ?? {}).map(([containerPath, hostPath]) => ({
        containerPath,
        hostPath,
      })),
      logPath,
      tty: spec.tty ?? false,
      linux: {
        resources: { memoryLimitInBytes: spec.memoryLimitBytes ?? 0n },
        securityContext: spec.user === undefined ? {} : { runAsUser: { value: spec.user } },
      },
    });
    const request = { podSandboxId: this.id, config, sandboxConfig: this.#config };
    const { containerId } = await call(cri.createContainer.bind(cri), request);
    await call(cri.startContainer.bind(cri), { containerId });
    return new Container(this.#node, containerId, join(this.#config.logDirectory, logPath));
  }

  /** The pod's address. */
  async address(): Promise<string> {
    const { cri } = this.#node;
    const { status } = await call(cri.podSandboxStatus.bind(cri), { podSandboxId: this.id, verbose: false });
    return status?.network?.ip ?? "";
  }

  /** Stops and removes a container. */
  async removeContainer(container: Container, timeoutS = 0): Promise<void> {
    const { cri } = this.#node;
    await call(cri.stopContainer.bind(cri), { containerId: container.id, timeout: BigInt(timeoutS) });
    await call(cri.removeContainer.bind(cri), { containerId: container.id });
  }

  async stop(): Promise<void> {
    const { cri } = this.#node;
    await call(cri.stopPodSandbox.bind(cri), { podSandboxId: this.id });
  }

  /** Stops and removes the pod with its containers. */
  async remove(): Promise<void> {
    await this.stop();
    const { cri } = this.#node;
    await call(cri.removePodSandbox.bind(cri), { podSandboxId: this.id });
  }
}

/** Stops and removes every pod of the node, as far as that goes. */
export async function removeAllPods({ cri }: Node): Promise<void> {
  const { items } = await call(cri.listPodSandbox.bind(cri), { filter: undefined });
  for (const { id } of items) {
    await call(cri.stopPodSandbox.bind(cri), { podSandboxId: id }).catch(() => undefined);
    await call(cri.removePodSandbox.bind(cri), { podSandboxId: id }).catch(() => undefined);
  }
}
