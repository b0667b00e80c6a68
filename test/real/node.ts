import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { ImageServiceClient, RuntimeServiceClient } from "../../src/gen/kubernetes/cri.ts";
import type { Exec } from "../../src/platform/index.ts";
import { cniConfig, containerdConfig, goKataConfig, nydusConfig, rustKataConfig } from "./configs.ts";
import { makeImage, type TestImage } from "./image.ts";
import { MachineRoom } from "./machine-room.ts";
import type { Peers, ShimPeer } from "./peers.ts";
import { type Registry, serveImage } from "./registry.ts";
import { Service, until } from "./service.ts";

/** Everything of the node lies here; node-boot.sh has mounted a fresh /run. */
const ROOT = "/run/node";
const LOGS: string = join(ROOT, "log");
const BIN: string = join(ROOT, "bin");
/** What pod VMs read: their view of the node lacks its /run. */
const POD_VM = "/opt/pod-vm";
const CONTAINERD_SOCKET = "/run/containerd/containerd.sock";
const HYPERVISOR_SOCKET = "/run/peerpod/hypervisor.sock";
const PROXY_SOCKET = "/run/peerpod/proxy.sock";
const NYDUS_SOCKET = "/run/node/nydus.sock";
const MACHINE_ROOM_SOCKET = "/run/peerpod-mock/cloud.sock";
const PROGRAM: string = join(import.meta.dirname, "..", "..", "bin", "cloud-api-adaptor");

/** A node with the real containerd and shim, and our processes. */
export interface Node {
  readonly shim: ShimPeer;
  readonly cri: RuntimeServiceClient;
  readonly room: MachineRoom;
  /** The name by which containerd knows the image of every container, the pause container included. */
  readonly imageName: string;
  readonly exec: Exec;
  /** The control plane. */
  readonly adaptor: Service;
  /** A second control plane, not started, as a surge upgrade has it. */
  readonly standby: Service;
  readonly shimProxy: Service;
  readonly logs: string;
  /** What pods that are gone have left on the node and in the cloud; empty when nothing. */
  leftovers(): Promise<readonly string[]>;
  /** Processes whose command line holds all of these. */
  processes(...parts: readonly string[]): Promise<readonly number[]>;
  close(): Promise<void>;
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

async function mustRun(exec: Exec, argv: readonly [string, ...string[]]): Promise<string> {
  const { code, stdout, stderr } = await exec.run(argv);
  if (code !== 0) throw new Error(`${argv.join(" ")}: exit status ${code}: ${stderr}`);
  return stdout;
}

/** The pod VM's image: a launcher that tells guest/pod-vm.sh where things are, since a VM has no environment. */
async function writeLauncher(peers: Peers, image: TestImage): Promise<string> {
  const guest = join(import.meta.dirname, "guest");
  const bin = join(POD_VM, "bin");
  await mkdir(bin);
  for (const program of ["process-user-data", "agent-protocol-forwarder", "kata-agent"] as const)
    await symlink(peers.programs[program], join(bin, program));
  const hub = `${process.execPath} ${join(guest, "image-hub.ts")} ${image.rootFs} /run/confidential-containers/cdh.sock`;
  const path = join(POD_VM, "boot");
  const lines = ["#!/bin/sh", `PEERS=${bin}`, `HUB="${hub}"`, `PAUSE=${image.pauseBundle}`];
  await writeFile(path, `${lines.join("\n")}\n. ${join(guest, "pod-vm.sh")}\n`, { mode: 0o755 });
  return path;
}

/** Files of containerd, the shim and CNI. Resolves to containerd's configuration. */
async function writeConfigs(peers: Peers, shim: ShimPeer, pauseImage: string): Promise<string> {
  await symlink(shim.path, join(BIN, "containerd-shim-kata-remote-v2"));
  const cniConfigDir = join(ROOT, "cni");
  await mkdir(cniConfigDir);
  await writeFile(join(cniConfigDir, "pods.conflist"), cniConfig(join(ROOT, "cni-state")));
  const kata = join(ROOT, "kata.toml");
  await writeFile(kata, (shim.name === "Go" ? goKataConfig : rustKataConfig)(HYPERVISOR_SOCKET));
  const path = join(ROOT, "containerd.toml");
  const config = containerdConfig({
    root: join(ROOT, "containerd"),
    socket: CONTAINERD_SOCKET,
    cniDir: peers.cniDir,
    cniConfigDir,
    kataConfig: kata,
    pauseImage,
    nydusSocket: shim.nydus === undefined ? undefined : NYDUS_SOCKET,
  });
  await writeFile(path, config);
  return path;
}

/** Starts nydus-snapshotter where the shim needs it. */
async function startNydus({ nydus }: ShimPeer): Promise<readonly Service[]> {
  if (nydus === undefined) return [];
  await symlink(nydus.mountHelper, join(BIN, "nydus-overlayfs"));
  const config = join(ROOT, "nydus.toml");
  await writeFile(config, nydusConfig(join(ROOT, "nydus"), NYDUS_SOCKET));
  const service = new Service({
    name: "nydus-snapshotter",
    argv: [nydus.snapshotter, "--config", config, "--log-to-stdout"],
    logFile: join(LOGS, "nydus"),
    ready: answers(NYDUS_SOCKET),
  });
  await service.start();
  return [service];
}

/** Starts containerd and lets it pull the image. */
async function startContainerd(peers: Peers, config: string, imageName: string): Promise<Service> {
  const containerd = new Service({
    name: "containerd",
    argv: [peers.programs.containerd, "--config", config],
    env: { PATH: `${BIN}:${process.env["PATH"] ?? ""}` },
    logFile: join(LOGS, "containerd"),
    ready: answers(CONTAINERD_SOCKET),
  });
  await containerd.start();
  const images = new ImageServiceClient(`unix:${CONTAINERD_SOCKET}`, credentials.createInsecure());
  let problem = "";
  const pulled = until(`${imageName} pulled`, 30_000, () => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    images.pullImage({ image: { image: imageName, annotations: {} } }, (error) => {
      problem = error?.message ?? "";
      resolve(error === null);
    });
    return promise;
  });
  await pulled.catch((cause: unknown) => {
    throw new Error(`containerd cannot pull ${imageName}: ${problem}`, { cause });
  });
  images.close();
  return containerd;
}

/**
 * Our three processes, not started. OTHER_ADAPTOR, a command, runs in place of the adaptor and the shim-proxy: the way to see what
 * the Go adaptor does in the same cases.
 */
function ourServices(image: string): Record<"room" | "shimProxy" | "adaptor" | "standby", Service> {
  const service = (
    command: string,
    env: Record<string, string>,
    ready: () => Promise<boolean>,
    name = command,
  ): Service =>
    new Service({
      name,
      argv: [PROGRAM, command],
      env: { CLUSTER_ID: "real-peers", PEERPODS_LOG_LEVEL: "debug", ...env },
      logFile: join(LOGS, name),
      ready,
    });
  const ours = { PEERPODS_SHIM_PROXY: "external", CRI_RUNTIME_ENDPOINT: CONTAINERD_SOCKET };
  const [other, ...rest] = (process.env["OTHER_ADAPTOR"] ?? "").split(" ");
  return {
    room: service("mock-cloud", { MOCK_CLOUD_IMAGE: image }, answers(MACHINE_ROOM_SOCKET)),
    ...(other
      ? {
          shimProxy: new Service({
            name: "no shim-proxy",
            argv: ["sleep", "infinity"],
            logFile: join(LOGS, "shim-proxy"),
            ready: async () => true,
          }),
          adaptor: new Service({
            name: "other adaptor",
            argv: [other, ...rest],
            logFile: join(LOGS, "mock"),
            ready: answers(HYPERVISOR_SOCKET),
          }),
        }
      : {
          shimProxy: service("shim-proxy", {}, answers(PROXY_SOCKET)),
          adaptor: service("mock", ours, answers(HYPERVISOR_SOCKET)),
        }),
    standby: service("mock", ours, answers(HYPERVISOR_SOCKET), "standby"),
  };
}

async function processes(parts: readonly string[]): Promise<readonly number[]> {
  const found: number[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const line = await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => "");
    if (parts.every((part) => line.includes(part))) found.push(Number(entry));
  }
  return found;
}

async function leftovers(exec: Exec, room: MachineRoom): Promise<readonly string[]> {
  const found: string[] = [];
  for (const vm of await room.vms()) found.push(`VM ${vm.name} (${vm.lifecycle})`);
  const rules = await mustRun(exec, ["iptables-save", "-t", "raw"]);
  found.push(...rules.split("\n").filter((line) => line.includes("peerpod")));
  const links = await mustRun(exec, ["ip", "-o", "link", "show", "type", "vxlan"]);
  found.push(...links.split("\n").filter((line) => line !== ""));
  for (const name of await readdir("/run/netns")) found.push(`network namespace ${name}`);
  const pods = "/run/peerpod/pods";
  // The Go adaptor never removes these.
  if (process.env["OTHER_ADAPTOR"] === undefined && existsSync(pods))
    for (const name of await readdir(pods)) found.push(`${pods}/${name}`);
  for (const pid of await processes(["containerd-shim-kata"])) found.push(`shim, process ${pid}`);
  for (const pid of await processes(["kata-agent", "--config"])) found.push(`agent, process ${pid}`);
  return found;
}

/** Starts a node with the given shim. Must run in the namespaces that node-boot.sh makes, one node in a life of them. */
export async function startNode(peers: Peers, shim: ShimPeer, exec: Exec): Promise<Node> {
  for (const folder of [LOGS, BIN, POD_VM]) await mkdir(folder, { recursive: true });
  const image = await makeImage(POD_VM, peers.programs.busybox, exec);
  const syslog = new Service({
    name: "syslogd",
    argv: [peers.programs.busybox, "syslogd", "-n", "-O", join(LOGS, "syslog")],
    logFile: join(LOGS, "syslogd"),
    ready: async () => existsSync("/dev/log"),
  });
  await syslog.start();
  const { room, shimProxy, adaptor, standby } = ourServices(await writeLauncher(peers, image));
  await room.start();
  await shimProxy.start();
  await adaptor.start();
  const registry: Registry = await serveImage(image.layoutDir, image.manifest);
  const imageName = `127.0.0.1:${registry.port}/busybox:1`;
  const nydus = await startNydus(shim);
  const containerd = await startContainerd(peers, await writeConfigs(peers, shim, imageName), imageName);
  const cri = new RuntimeServiceClient(`unix:${CONTAINERD_SOCKET}`, credentials.createInsecure());
  const roomApi = new MachineRoom(MACHINE_ROOM_SOCKET);
  return {
    shim,
    cri,
    room: roomApi,
    imageName,
    exec,
    adaptor,
    standby,
    shimProxy,
    logs: LOGS,
    leftovers: () => leftovers(exec, roomApi),
    processes: (...parts) => processes(parts),
    close: async () => {
      cri.close();
      registry.close();
      for (const service of [adaptor, standby, containerd, ...nydus, shimProxy, room, syslog])
        await service.end("SIGKILL");
    },
  };
}
