import { connect, type Socket } from "node:net";
import { AgentServiceDefinition } from "../../src/gen/agent/agent.ts";
import { HealthDefinition } from "../../src/gen/agent/health.ts";
import type { Process } from "../../src/gen/agent/oci.ts";
import { HypervisorDefinition } from "../../src/gen/hypervisor/hypervisor.ts";
import { PodVMInfoDefinition } from "../../src/gen/hypervisor/podvminfo.ts";
import { createClient, type ServiceClient, TtrpcClient } from "../../src/ttrpc/index.ts";

/** A connection to a unix socket. Rejects with Node's error, as a shim's only dial would. */
export function dial(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
}

type Hypervisor = ServiceClient<typeof HypervisorDefinition>;

const METADATA = [["containerd-namespace-ttrpc", "k8s.io"]] as const;
/** What a stock Go shim sends with StartVM, milliseconds. */
const START_TIMEOUT_MS = 599_990;

/** The nine annotations that both shims send, empty ones included. */
export function podAnnotations(
  pod: PodIdentity,
  extra: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const prefix = "io.katacontainers.config.hypervisor.";
  return {
    "io.kubernetes.cri.sandbox-name": pod.name,
    "io.kubernetes.cri.sandbox-namespace": pod.namespace,
    [`${prefix}machine_type`]: "",
    [`${prefix}default_vcpus`]: "0",
    [`${prefix}default_memory`]: "0",
    [`${prefix}default_gpus`]: "0",
    [`${prefix}default_gpu_model`]: "",
    [`${prefix}image`]: "",
    [`${prefix}cc_init_data`]: "",
    ...extra,
  };
}

export interface PodIdentity {
  readonly name: string;
  readonly namespace: string;
}

/** Calls hypervisor.sock with the Go shim's habits: a new connection for each call, closed right after the answer. */
export class PlayedShim {
  readonly #socket: string;
  readonly #open: Set<TtrpcClient> = new Set();

  constructor(hypervisorSocket: string) {
    this.#socket = hypervisorSocket;
  }

  async createVm(id: string, annotations: Record<string, string>, netns: string): Promise<string> {
    const request = { id, annotations, networkNamespacePath: netns };
    return (await this.#once((client) => client.createVM(request, { metadata: METADATA }))).agentSocketPath;
  }

  async startVm(id: string, timeoutMs: number = START_TIMEOUT_MS): Promise<void> {
    await this.#once((client) => client.startVM({ id }, { timeoutMs }));
  }

  async stopVm(id: string): Promise<void> {
    await this.#once((client) => client.stopVM({ id }, { metadata: METADATA }));
  }

  /** Leaves as a killed shim does: its connections close with calls unanswered. */
  async die(): Promise<void> {
    await Promise.all([...this.#open].map((client) => client[Symbol.asyncDispose]()));
  }

  async vmId(pod: PodIdentity, wait: boolean, timeoutMs: number): Promise<string> {
    await using client = new TtrpcClient(await dial(this.#socket));
    const info = createClient(PodVMInfoDefinition, client);
    return (await info.getInfo({ PodName: pod.name, PodNamespace: pod.namespace, Wait: wait }, { timeoutMs }))
      .VMID;
  }

  async #once<T>(call: (client: Hypervisor) => Promise<T>): Promise<T> {
    await using client = new TtrpcClient(await dial(this.#socket));
    this.#open.add(client);
    try {
      return await call(createClient(HypervisorDefinition, client));
    } finally {
      this.#open.delete(client);
    }
  }
}

/** The shim's one connection to agent.ttrpc. */
export class PlayedAgentSession implements AsyncDisposable {
  readonly client: TtrpcClient;
  readonly agent: ServiceClient<typeof AgentServiceDefinition>;
  readonly health: ServiceClient<typeof HealthDefinition>;

  private constructor(socket: Socket) {
    this.client = new TtrpcClient(socket);
    this.agent = createClient(AgentServiceDefinition, this.client);
    this.health = createClient(HealthDefinition, this.client);
  }

  static async open(agentSocket: string): Promise<PlayedAgentSession> {
    return new PlayedAgentSession(await dial(agentSocket));
  }

  /** All output of a process up to its end, as a shim reads it: ask again until the answer is empty. */
  async readAll(
    containerId: string,
    execId: string,
    stream: "stdout" | "stderr" = "stdout",
  ): Promise<string> {
    const chunks: Uint8Array[] = [];
    for (;;) {
      const data = await this.read(containerId, execId, stream);
      if (data.length === 0) return Buffer.concat(chunks).toString();
      chunks.push(data);
    }
  }

  /** The next output of a process; empty at its end. */
  async read(
    containerId: string,
    execId: string,
    stream: "stdout" | "stderr" = "stdout",
  ): Promise<Uint8Array> {
    const request = { containerId, execId, len: 32_768 };
    const answer = stream === "stdout" ? this.agent.readStdout(request) : this.agent.readStderr(request);
    return (await answer).data;
  }

  /** Runs a command in a container, as `kubectl exec` does. */
  async exec(containerId: string, execId: string, args: readonly string[]): Promise<ExecOutcome> {
    await this.agent.execProcess(
      { containerId, execId, process: processSpec(args), stringUser: undefined },
      { timeoutMs: 60_000 },
    );
    const [stdout, stderr] = await Promise.all([
      this.readAll(containerId, execId, "stdout"),
      this.readAll(containerId, execId, "stderr"),
    ]);
    const { status } = await this.agent.waitProcess({ containerId, execId });
    return { stdout, stderr, status };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
  }
}

export interface ExecOutcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number;
}

/** A process of a container as the recording's shim describes it. */
export function processSpec(args: readonly string[], env: readonly string[] = []): Process {
  return {
    Terminal: false,
    ConsoleSize: undefined,
    User: { UID: 0, GID: 0, AdditionalGids: [0], Username: "" },
    Args: [...args],
    Env: ["PATH=/bin:/usr/bin", ...env],
    Cwd: "/",
    Capabilities: undefined,
    Rlimits: [],
    NoNewPrivileges: false,
    ApparmorProfile: "",
    OOMScoreAdj: 0n,
    SelinuxLabel: "",
  };
}
