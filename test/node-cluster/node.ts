import { existsSync } from "node:fs";
import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import type { V1Node } from "@kubernetes/client-node";
import { BUSYBOX_PATH, makeOciLayout } from "../../providers/mock/guest/index.ts";
import { type ExecResult, systemExec } from "../../src/platform/index.ts";
import { type Cluster, startCluster } from "../cluster/cluster.ts";
import { guestScript } from "../node/child.ts";
import { cniConfig, goKataConfig } from "../real/configs.ts";
import { MachineRoom } from "../real/machine-room.ts";
import { Service } from "../real/service.ts";
import { type KubeletClient, writeKubeletClient } from "./certificates.ts";
import {
  BUSYBOX_IMAGE,
  containerdConfig,
  KUBELET_SYSCTLS,
  kubeletConfig,
  NODE_ADDRESS,
  NODE_NAME,
  PAUSE_IMAGE,
  POD_NETWORK,
} from "./configs.ts";
import type { Tools } from "./tools.ts";

/** Everything of the node lies here; node-boot.sh has mounted a fresh /run. */
const ROOT = "/run/node";
export const LOGS: string = join(ROOT, "log");
const BIN: string = join(ROOT, "bin");
/** What pod VMs read: their view of the node lacks its /run. */
const POD_VM = "/opt/pod-vm";
const CONTAINERD_SOCKET = "/run/containerd/containerd.sock";
export const CLOUD_FOLDER = "/run/peerpod-mock";
const HYPERVISOR_SOCKET = "/run/peerpod/hypervisor.sock";
const PROJECT: string = join(import.meta.dirname, "..", "..");
const READY_TIMEOUT_MS = 120_000;

/** A one-node cluster, with a cloud for its pod VMs. Ours is not installed yet. */
export interface ClusterNode {
  readonly cluster: Cluster;
  /** The cloud: what pod VMs there really are. */
  readonly room: MachineRoom;
  /** Whether a stock shim makes the peer pods; else runc does, in the shim's place. */
  readonly hasShim: boolean;
  readonly containerd: Service;
  readonly kubelet: Service;
  /** Resolves to the outcome, whatever it is. */
  readonly kubectl: (...args: readonly string[]) => Promise<ExecResult>;
  readonly kubectlWithInput: (input: string, ...args: readonly string[]) => Promise<ExecResult>;
  readonly helm: (...args: readonly string[]) => Promise<ExecResult>;
}

async function mustRun(argv: readonly [string, ...string[]]): Promise<string> {
  const { code, stdout, stderr } = await systemExec.run(argv);
  if (code !== 0) throw new Error(`${argv.join(" ")}: exit status ${code}: ${stderr}`);
  return stdout;
}

const answers = (socket: string) => (): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = connect(socket);
    probe.on("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", () => resolve(false));
  });

interface ServiceStart {
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  readonly env?: Readonly<Record<string, string>>;
  readonly ready?: () => Promise<boolean>;
}

/** Starts a program of the node, which ends with the stack. */
async function start(
  stack: AsyncDisposableStack,
  { name, argv, env, ready }: ServiceStart,
): Promise<Service> {
  const service = new Service({
    name,
    argv,
    ...(env === undefined ? {} : { env }),
    logFile: join(LOGS, name),
    ready: ready ?? (async () => true),
    readyTimeoutMs: READY_TIMEOUT_MS,
  });
  stack.defer(() => service.end("SIGKILL"));
  await service.start();
  return service;
}

/**
 * What the kubelet would write outside of this node. Its kernel settings are the whole machine's: it is shown files that have the
 * values it wants. /var/log is not one of the folders that node-boot.sh makes the node's own.
 */
async function shieldMachine(): Promise<void> {
  // What is mounted later has to show in containers that want it so.
  await mustRun(["mount", "--make-rshared", "/"]);
  for (const [setting, value] of Object.entries(KUBELET_SYSCTLS)) {
    const file = join(ROOT, "sysctl", setting);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, `${value}\n`);
    await mustRun(["mount", "--bind", file, join("/proc/sys", setting)]);
  }
  const podLogs = join(LOGS, "var-log");
  await mkdir(podLogs);
  await mustRun(["mount", "--bind", podLogs, "/var/log"]);
}

/** The image of containers, as folders in OCI layout: for the pod VMs, and to be imported into containerd. */
async function makeImages(): Promise<readonly string[]> {
  const busybox = join(POD_VM, "images", "busybox");
  const pause = join(ROOT, "pause");
  const contents = { busybox: BUSYBOX_PATH };
  for (const dir of [busybox, pause]) await mkdir(dir, { recursive: true });
  await makeOciLayout(systemExec, busybox, { name: BUSYBOX_IMAGE, contents });
  const cmd = ["/bin/sleep", "2147483647"];
  await makeOciLayout(systemExec, pause, { name: PAUSE_IMAGE, contents: { ...contents, cmd } });
  return [busybox, pause];
}

/** Starts the cloud: its VMs boot our guest, which finds its images in a folder. */
async function startCloud(stack: AsyncDisposableStack): Promise<MachineRoom> {
  const guest = guestScript();
  const image = join(POD_VM, "boot");
  const lines = [
    "#!/bin/sh",
    `export PEERPOD_GUEST_IMAGES=${join(POD_VM, "images")}`,
    `exec ${process.execPath} --disable-warning=ExperimentalWarning ${guest}`,
  ];
  await writeFile(image, `${lines.join("\n")}\n`, { mode: 0o755 });
  const socket = join(CLOUD_FOLDER, "cloud.sock");
  await start(stack, {
    name: "mock-cloud",
    argv: [join(PROJECT, "bin/cloud-api-adaptor"), "mock-cloud"],
    env: { MOCK_CLOUD_IMAGE: image },
    ready: answers(socket),
  });
  // Controller and clean-up of the chart are not root, and their cloud is not usually a socket of the node.
  await chmod(CLOUD_FOLDER, 0o755);
  await chmod(socket, 0o666);
  return new MachineRoom(socket);
}

async function startContainerd(stack: AsyncDisposableStack, tools: Tools): Promise<Service> {
  const cniConfigDir = join(ROOT, "cni");
  await mkdir(cniConfigDir);
  await writeFile(join(cniConfigDir, "pods.conflist"), cniConfig(join(ROOT, "cni-state")));
  const kataConfig = tools.shim === undefined ? undefined : join(ROOT, "kata.toml");
  if (tools.shim !== undefined && kataConfig !== undefined) {
    await writeFile(kataConfig, goKataConfig(HYPERVISOR_SOCKET));
    await symlink(tools.shim, join(BIN, "containerd-shim-kata-remote-v2"));
    await start(stack, {
      name: "syslogd",
      argv: [tools.tools.busybox, "syslogd", "-n", "-O", join(LOGS, "syslog")],
      ready: async () => existsSync("/dev/log"),
    });
  }
  const config = join(ROOT, "containerd.toml");
  const places = { root: join(ROOT, "containerd"), state: join(ROOT, "containerd-state") };
  const { cniDir } = tools;
  await writeFile(
    config,
    containerdConfig({ ...places, socket: CONTAINERD_SOCKET, cniDir, cniConfigDir, kataConfig }),
  );
  const folders = [BIN, ...Object.values(tools.tools).map((path) => dirname(path))];
  return await start(stack, {
    name: "containerd",
    argv: [tools.tools.containerd, "--config", config],
    env: { PATH: `${[...new Set(folders)].join(":")}:${process.env["PATH"] ?? ""}` },
    ready: answers(CONTAINERD_SOCKET),
  });
}

/** Puts images into containerd: folders in OCI layout, or archives. */
async function importImages(tools: Tools, images: readonly string[]): Promise<void> {
  for (const image of images) {
    let archive = image;
    if (!image.endsWith(".tar")) {
      archive = `${image}.tar`;
      await mustRun(["tar", "-C", image, "-cf", archive, "."]);
    }
    await mustRun([
      tools.tools.ctr,
      "--address",
      CONTAINERD_SOCKET,
      "--namespace",
      "k8s.io",
      "images",
      "import",
      archive,
    ]);
  }
}

async function startControlPlane(
  stack: AsyncDisposableStack,
  tools: Tools,
  client: KubeletClient,
): Promise<Cluster> {
  const cluster = await startCluster(tools.kubernetes, {
    parentDir: ROOT,
    address: NODE_ADDRESS,
    controllers: ["*"],
    apiServerArgs: [
      `--kubelet-client-certificate=${client.certFile}`,
      `--kubelet-client-key=${client.keyFile}`,
      "--kubelet-preferred-address-types=InternalIP",
      // Pods reach it as the Service `kubernetes`.
      "--endpoint-reconciler-type=lease",
      `--advertise-address=${NODE_ADDRESS}`,
    ],
  });
  stack.use(cluster);
  await start(stack, {
    name: "kube-scheduler",
    argv: [
      tools.kubernetes["kube-scheduler"],
      `--kubeconfig=${cluster.kubeconfigFile}`,
      "--leader-elect=false",
    ],
  });
  return cluster;
}

async function startKubelet(
  stack: AsyncDisposableStack,
  tools: Tools,
  cluster: Cluster,
  client: KubeletClient,
): Promise<Service> {
  const resolvConf = join(ROOT, "resolv.conf");
  await writeFile(resolvConf, "nameserver 192.0.2.1\n");
  const config = join(ROOT, "kubelet.json");
  await writeFile(
    config,
    kubeletConfig({
      containerdSocket: CONTAINERD_SOCKET,
      clientCaFile: client.caFile,
      resolvConf,
      volumePluginDir: join(ROOT, "volume-plugins"),
    }),
  );
  await start(stack, {
    name: "kube-proxy",
    argv: [
      tools.kubernetes["kube-proxy"],
      `--kubeconfig=${cluster.kubeconfigFile}`,
      `--hostname-override=${NODE_NAME}`,
      `--cluster-cidr=${POD_NETWORK}`,
      "--proxy-mode=iptables",
      "--conntrack-max-per-core=0",
      "--conntrack-tcp-timeout-established=0",
      "--conntrack-tcp-timeout-close-wait=0",
    ],
  });
  const kubelet = await start(stack, {
    name: "kubelet",
    argv: [
      tools.kubernetes.kubelet,
      `--config=${config}`,
      `--kubeconfig=${await cluster.api.kubeconfigOfNode(NODE_NAME)}`,
      `--hostname-override=${NODE_NAME}`,
      `--node-ip=${NODE_ADDRESS}`,
      // As the operator's installer of Kata sets it.
      "--node-labels=katacontainers.io/kata-runtime=true",
    ],
  });
  await cluster.api.waitFor<V1Node>(
    "/api/v1/nodes",
    (node) =>
      node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false,
    {},
    READY_TIMEOUT_MS,
  );
  return kubelet;
}

/**
 * Starts a node whose containerd has the given images besides those of tests' containers. Must run in the namespaces that
 * node-boot.sh makes, one node in a life of them; all ends with the stack.
 */
export async function startNode(
  stack: AsyncDisposableStack,
  tools: Tools,
  imageArchives: readonly string[],
): Promise<ClusterNode> {
  for (const folder of [LOGS, BIN, POD_VM]) await mkdir(folder, { recursive: true });
  await shieldMachine();
  const layouts = await makeImages();
  const room = await startCloud(stack);
  const containerd = await startContainerd(stack, tools);
  await importImages(tools, [...layouts, ...imageArchives]);
  const client = await writeKubeletClient(ROOT);
  const cluster = await startControlPlane(stack, tools, client);
  const kubelet = await startKubelet(stack, tools, cluster, client);
  const run = (program: string, args: readonly string[], input = ""): Promise<ExecResult> =>
    systemExec.run([program, "--kubeconfig", cluster.kubeconfigFile, ...args], { input });
  return {
    cluster,
    room,
    hasShim: tools.shim !== undefined,
    containerd,
    kubelet,
    kubectl: (...args) => run(tools.kubernetes.kubectl, args),
    kubectlWithInput: (input, ...args) => run(tools.kubernetes.kubectl, args, input),
    helm: (...args) => run(tools.kubernetes.helm, args),
  };
}
