import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { access, readFile } from "node:fs/promises";
import { describeError, invalidConfig } from "../../../src/errors/index.ts";
import type { Clock, Exec, Log } from "../../../src/platform/index.ts";
import { AddressPool, parseSubnet, type Subnet } from "./addresses.ts";
import type { StatusView } from "./api.ts";
import { MockCloud } from "./cloud.ts";
import type { MockCloudConfig } from "./config.ts";
import { type Call, Faults } from "./faults.ts";
import { claimSocket, type Intercept, serveHttp } from "./http-server.ts";
import type { Machines } from "./machines.ts";
import { namespaceMachines } from "./namespace-machines.ts";
import { NodeNetwork } from "./node-network.ts";
import { processMachines } from "./process-machines.ts";
import { cgroupMounts, parseMountInfo } from "./root-file-system.ts";
import { VmFiles } from "./vm-files.ts";

export interface MockCloudDeps {
  readonly clock: Clock;
  readonly exec: Exec;
  readonly log: Log;
  /** Runs the commands of the node network; tests give one that enters a namespace of theirs. Default: `exec`. */
  readonly networkExec?: Exec;
  /** For tests: holds or cuts calls. */
  readonly intercept?: Intercept;
}

/** A machine room that runs. */
export interface RunningMockCloud {
  /** Whether its VMs are plain processes. */
  readonly rootless: boolean;
  /** The calls seen so far, newest last; bounded. */
  calls(): readonly Call[];
  /** Names of the VMs in the cloud's books. */
  vmNames(): readonly string[];
  /** Everything that exists for VMs now, one text each. */
  inventory(): Promise<readonly string[]>;
  /** Ends the API, takes down every VM and all that was made for them. */
  close(): Promise<void>;
}

/** Starts a machine room: first removes what an earlier one of the same name left, then serves its API. Throws `invalid-config`. */
export async function runMockCloud(config: MockCloudConfig, deps: MockCloudDeps): Promise<RunningMockCloud> {
  const machines = await chooseMachines(config, deps);
  const faults = new Faults();
  const images = { defaultImage: config.image, imagesDir: config.imagesDir };
  const cloud = new MockCloud({ clock: deps.clock, log: deps.log, machines, images }, config.settings);
  const status = (): StatusView => ({
    instance: config.instance,
    rootless: machines.rootless,
    image: config.image,
    userDataLimitBytes: cloud.settings.userDataLimitBytes,
    vms: cloud.quota().used,
    quota: cloud.settings.quota,
    pid: process.pid,
  });
  // Before anything is cleaned up: what is there may belong to a machine room that is alive.
  await claimSocket(config.socket);
  await machines.open().catch(async (error: unknown) => {
    // What was begun is undone; why it could not begin is what the operator must see.
    await machines.close().catch(() => undefined);
    throw error;
  });
  const services = {
    clock: deps.clock,
    log: deps.log,
    cloud,
    faults,
    status,
    inventory: () => machines.inventory(),
  };
  const server = await serveHttp(
    { ...services, ...(deps.intercept ? { intercept: deps.intercept } : {}) },
    config.socket,
  ).catch(async (error: unknown) => {
    await machines.close();
    throw error;
  });
  deps.log.info("machine room open", { socket: config.socket, rootless: machines.rootless });
  return {
    rootless: machines.rootless,
    calls: () => faults.calls,
    vmNames: () => cloud.vmNames(),
    inventory: () => machines.inventory(),
    async close() {
      await server.close();
      await cloud.close();
      await machines.close();
    },
  };
}

async function chooseMachines(config: MockCloudConfig, deps: MockCloudDeps): Promise<Machines> {
  const files = new VmFiles(config.stateDir);
  const parts = { clock: deps.clock, log: deps.log, files, instance: config.instance };
  const problem = config.rootless === "true" ? "chosen by -rootless" : await namespaceProblem(deps.exec);
  if (problem === undefined) {
    const exec = deps.networkExec ?? deps.exec;
    const subnet = needSubnet(config.subnet, "-subnet");
    const network = new NodeNetwork(exec, { bridge: config.bridge, subnet, instance: config.instance });
    return namespaceMachines({ ...parts, exec, network });
  }
  if (config.rootless === "false")
    throw invalidConfig(`-rootless=false, but VMs of namespaces cannot be made here: ${problem}`);
  deps.log.warn("VMs are plain processes on loopback addresses, without network of their own", {
    reason: problem,
  });
  return processMachines({
    ...parts,
    pool: new AddressPool(
      needSubnet(config.rootlessSubnet, "-rootless-subnet"),
      // Machine rooms share the machine's loopback addresses: each begins somewhere else.
      createHash("sha256").update(config.instance).digest().readUInt32BE(),
    ),
  });
}

function needSubnet(text: string, flag: string): Subnet {
  const subnet = parseSubnet(text);
  if (!subnet) throw invalidConfig(`${flag} is ${text}; give an IPv4 prefix between /8 and /29`);
  return subnet;
}

/** Mounts what a VM's root file system needs, in a mount namespace that ends with it. */
const OVERLAY_TRIAL: string =
  "mount -n -t tmpfs trial /tmp && mkdir /tmp/upper /tmp/work /tmp/root && " +
  "mount -n -t overlay overlay -o lowerdir=/,upperdir=/tmp/upper,workdir=/tmp/work /tmp/root";

/** Why VMs of namespaces cannot be made on this machine; undefined when they can. */
async function namespaceProblem(exec: Exec): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "not started as root";
  const hierarchies = cgroupMounts(parseMountInfo(await readFile("/proc/self/mountinfo", "utf8")));
  if (hierarchies.length === 0)
    return "no cgroups are mounted under /sys/fs/cgroup (`ip netns exec` hides them; use nsenter --net)";
  for (const { target } of hierarchies) {
    const writable = await access(target, constants.W_OK).then(
      () => true,
      () => false,
    );
    if (!writable) return `${target} cannot be written`;
  }
  const namespaces = ["--net", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork"] as const;
  const [made, network] = await Promise.all([
    tryRun(exec, ["setpriv", "unshare", ...namespaces, "sh", "-c", OVERLAY_TRIAL]),
    tryRun(exec, ["ip", "-Version"]),
  ]);
  return made ?? network;
}

/** Why a command fails, if it does. */
async function tryRun(exec: Exec, argv: readonly [string, ...string[]]): Promise<string | undefined> {
  try {
    const { code, stderr } = await exec.run(argv);
    return code === 0 ? undefined : `${argv.join(" ")} failed: ${stderr.trim()}`;
  } catch (error) {
    return describeError(error);
  }
}
