import { randomUUID } from "node:crypto";
import {
  CloseStdinRequest,
  CreateContainerRequest,
  CreateSandboxRequest,
  ExecProcessRequest,
  ReadStreamRequest,
  RemoveContainerRequest,
  SignalProcessRequest,
  StartContainerRequest,
  WaitProcessRequest,
  WriteStreamRequest,
} from "../../../src/gen/agent/agent.ts";
import { type Mount, Process, Spec } from "../../../src/gen/agent/oci.ts";
import type { TestConnection } from "./test-vm.ts";

// For tests: the calls of a shim, by name.

const CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_SETGID", "CAP_SETUID", "CAP_KILL", "CAP_NET_RAW"];

/** The mounts that containerd gives every container. */
const USUAL_MOUNTS: readonly Mount[] = [
  { destination: "/proc", source: "proc", type: "proc", options: ["nosuid", "noexec", "nodev"] },
  { destination: "/dev", source: "tmpfs", type: "tmpfs", options: ["nosuid", "mode=755", "size=65536k"] },
  {
    destination: "/dev/pts",
    source: "devpts",
    type: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  { destination: "/sys", source: "sysfs", type: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
];

export interface ContainerOptions {
  readonly process?: Parameters<typeof Process.create>[0];
  readonly mounts?: readonly Mount[];
  readonly storages?: NonNullable<Parameters<typeof CreateContainerRequest.create>[0]>["storages"];
  readonly linux?: NonNullable<Parameters<typeof Spec.create>[0]>["Linux"];
  readonly readonlyRoot?: boolean;
  readonly sharedPidns?: boolean;
  readonly isPause?: boolean;
  readonly annotations?: Readonly<Record<string, string>>;
  /** What becomes of the request on its way to the agent. */
  readonly onTheWay?: (payload: Uint8Array) => Uint8Array;
  readonly image?: string;
}

export const processOf = (command: readonly string[], more: ContainerOptions["process"] = {}): Process =>
  Process.create({
    User: {},
    Args: [...command],
    Env: ["PATH=/bin"],
    Cwd: "/",
    Capabilities: { Bounding: CAPABILITIES, Effective: CAPABILITIES, Permitted: CAPABILITIES },
    ...more,
  });

/** A pod through one connection. */
export class TestPod {
  readonly connection: TestConnection;

  constructor(connection: TestConnection) {
    this.connection = connection;
  }

  get agent(): TestConnection["agent"] {
    return this.connection.agent;
  }

  async createSandbox(hostname = "test-pod"): Promise<void> {
    await this.agent.createSandbox(
      CreateSandboxRequest.create({
        hostname,
        sandboxId: "sandbox",
        storages: [
          {
            driver: "ephemeral",
            source: "shm",
            fstype: "tmpfs",
            options: ["noexec", "nosuid", "nodev", "mode=1777", "size=67108864"],
            mountPoint: "/run/kata-containers/sandbox/shm",
          },
        ],
      }),
    );
  }

  async create(id: string, command: readonly string[], options: ContainerOptions = {}): Promise<void> {
    const rootfs = `/run/kata-containers/${id}/rootfs`;
    const type = options.isPause ? "sandbox" : "container";
    const request = CreateContainerRequest.create({
      containerId: id,
      execId: id,
      sandboxPidns: options.sharedPidns ?? false,
      storages: [
        {
          driver: "image_guest_pull",
          driverOptions: [
            `image_guest_pull=${JSON.stringify({ metadata: { "io.kubernetes.cri.container-type": type } })}`,
          ],
          source: options.isPause ? "pause" : (options.image ?? "docker.io/library/busybox:latest"),
          fstype: "overlay",
          mountPoint: rootfs,
        },
        ...(options.storages ?? []),
      ],
      OCI: Spec.create({
        Version: "1.0.2",
        Process: processOf(command, options.process),
        Root: { Path: rootfs, Readonly: options.readonlyRoot ?? false },
        Hostname: "test-pod",
        Mounts: [...USUAL_MOUNTS, ...(options.mounts ?? [])],
        Annotations: { "io.kubernetes.cri.container-type": type, ...options.annotations },
        Linux: {
          CgroupsPath: `/k8s.io/${id}`,
          Namespaces: [{ Type: "ipc" }, { Type: "uts" }, { Type: "mount" }],
          ...options.linux,
        },
      }),
    });
    const payload = CreateContainerRequest.encode(request).finish();
    await this.agent.createContainer(CreateContainerRequest.decode(options.onTheWay?.(payload) ?? payload));
  }

  async start(id: string): Promise<void> {
    await this.agent.startContainer(StartContainerRequest.create({ containerId: id }));
  }

  /** Creates and starts a container. */
  async run(id: string, command: readonly string[], options: ContainerOptions = {}): Promise<void> {
    await this.create(id, command, options);
    await this.start(id);
  }

  /** Runs a container to its end: its output and exit code. */
  async runToEnd(id: string, command: readonly string[], options: ContainerOptions = {}): Promise<Ended> {
    await this.run(id, command, options);
    const ended = await this.ended(id, id);
    await this.remove(id);
    return ended;
  }

  /** Starts a process in a container; resolves to its exec id. */
  async exec(
    id: string,
    command: readonly string[],
    more: ContainerOptions["process"] = {},
  ): Promise<string> {
    const execId = randomUUID();
    const process = processOf(command, more);
    await this.agent.execProcess(ExecProcessRequest.create({ containerId: id, execId, process }));
    return execId;
  }

  /** Runs a command in a container to its end. */
  async execToEnd(
    id: string,
    command: readonly string[],
    more: ContainerOptions["process"] = {},
  ): Promise<Ended> {
    return this.ended(id, await this.exec(id, command, more));
  }

  async ended(id: string, execId: string): Promise<Ended> {
    const [stdout, stderr] = await Promise.all([
      this.readAll("readStdout", id, execId),
      this.readAll("readStderr", id, execId),
    ]);
    return { stdout, stderr, code: await this.wait(id, execId) };
  }

  async read(stream: "readStdout" | "readStderr", id: string, execId: string, len = 32_768): Promise<string> {
    const request = ReadStreamRequest.create({ containerId: id, execId, len });
    return Buffer.from((await this.agent[stream](request)).data).toString();
  }

  async readAll(stream: "readStdout" | "readStderr", id: string, execId: string): Promise<string> {
    let all = "";
    for (;;) {
      const piece = await this.read(stream, id, execId);
      if (piece === "") return all;
      all += piece;
    }
  }

  /** Reads stdout until it holds `text`. */
  async readUntil(id: string, execId: string, text: string): Promise<string> {
    let all = "";
    while (!all.includes(text)) {
      const piece = await this.read("readStdout", id, execId);
      if (piece === "") throw new Error(`the output ended without ${JSON.stringify(text)}: ${all}`);
      all += piece;
    }
    return all;
  }

  async wait(id: string, execId: string): Promise<number> {
    return (await this.agent.waitProcess(WaitProcessRequest.create({ containerId: id, execId }))).status;
  }

  async write(id: string, execId: string, data: string): Promise<number> {
    const request = WriteStreamRequest.create({ containerId: id, execId, data: Buffer.from(data) });
    return (await this.agent.writeStdin(request)).len;
  }

  async closeStdin(id: string, execId: string): Promise<void> {
    await this.agent.closeStdin(CloseStdinRequest.create({ containerId: id, execId }));
  }

  async signal(id: string, execId: string, signal: number): Promise<void> {
    await this.agent.signalProcess(SignalProcessRequest.create({ containerId: id, execId, signal }));
  }

  async remove(id: string): Promise<void> {
    await this.agent.removeContainer(RemoveContainerRequest.create({ containerId: id }));
  }
}

export interface Ended {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}
