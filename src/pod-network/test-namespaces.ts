import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type Exec, systemExec } from "../platform/index.ts";
import type { PodNetworkSpec } from "./spec.ts";

/** Why tests that need namespaces do not run here; undefined if they do. */
export const NO_NAMESPACES: string | undefined = process.getuid?.() === 0 ? undefined : "needs root";

/** A network namespace of a test's own, held by a process that ends with the test. */
export class TestNamespace {
  /** As a container runtime would pass it; it vanishes with the namespace. */
  readonly path: string;
  /** Runs commands inside. */
  readonly exec: Exec;
  readonly #holder: ChildProcess;

  constructor(holder: ChildProcess) {
    this.#holder = holder;
    this.path = `/proc/${holder.pid}/ns/net`;
    this.exec = {
      run: (argv, options) => systemExec.run(["nsenter", `--net=${this.path}`, ...argv], options),
    };
  }

  static async create(): Promise<TestNamespace> {
    const script = "ip link set lo up && echo ready && exec cat";
    const holder = spawn("unshare", ["--net", "sh", "-c", script], { stdio: ["pipe", "pipe", "inherit"] });
    await once(holder.stdout, "data");
    return new TestNamespace(holder);
  }

  get pid(): number {
    return this.#holder.pid ?? 0;
  }

  /** Runs a command to its success and returns its output. */
  async run(...argv: [string, ...string[]]): Promise<string> {
    return succeed(await this.exec.run(argv), argv.join(" "));
  }

  /** Runs `ip` commands, one a line, in one process. */
  async ip(...lines: string[]): Promise<void> {
    const input = lines.join("\n");
    succeed(await this.exec.run(["ip", "-batch", "-"], { input: `${input}\n` }), input);
  }

  async remove(): Promise<void> {
    if (this.#holder.exitCode !== null || this.#holder.signalCode !== null) return;
    const exited = once(this.#holder, "exit");
    this.#holder.kill("SIGKILL");
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove();
  }
}

function succeed(result: { code: number; stdout: string; stderr: string }, what: string): string {
  if (result.code !== 0) throw new Error(`${what}: ${result.stderr.trim()}`);
  return result.stdout;
}

/** A veth pair between two namespaces. */
export async function connectNamespaces(
  one: { readonly namespace: TestNamespace; readonly device: string },
  other: { readonly namespace: TestNamespace; readonly device: string },
  mtu = 1500,
): Promise<void> {
  const peer = `peer name ${other.device} mtu ${mtu} netns ${other.namespace.pid}`;
  await one.namespace.ip(`link add name ${one.device} mtu ${mtu} up type veth ${peer}`);
  await other.namespace.ip(`link set ${other.device} up`);
}

/** A node with an uplink to one machine that stands for the cloud's network, where VMs are. */
export interface TestNode extends AsyncDisposable {
  readonly node: TestNamespace;
  readonly cloud: TestNamespace;
}

export const NODE_ADDRESS = "192.0.2.2";
/** The n-th VM's address. */
export const vmAddress = (n: number): string => `192.0.2.${10 + n}`;

export async function createNode(uplinkMtu = 1500): Promise<TestNode> {
  await using stack = new AsyncDisposableStack();
  const [node, cloud] = [stack.use(await TestNamespace.create()), stack.use(await TestNamespace.create())];
  await connectNamespaces(
    { namespace: node, device: "uplink0" },
    { namespace: cloud, device: "port0" },
    uplinkMtu,
  );
  await node.ip(`address add ${NODE_ADDRESS}/24 dev uplink0`, "route add default via 192.0.2.1 dev uplink0");
  await cloud.ip("link add br0 type bridge", `link set br0 mtu ${uplinkMtu} up`, "link set port0 master br0");
  const owned = stack.move();
  return { node, cloud, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A pod VM: its own namespace on the cloud's network, and the pod's namespace inside. */
export interface TestVm extends AsyncDisposable {
  readonly vm: TestNamespace;
  readonly podns: TestNamespace;
}

/** A second interface of a VM, on the same network. */
export interface SecondInterface {
  readonly address: string;
  /** Given: the pod's way out. It is moved to the pod's namespace, whose default route it takes. */
  readonly externalGateway?: string;
}

/**
 * Boots a VM and does what the agent-protocol-forwarder does at its start with `pod-network` of apf.json (Go: pkg/podnetwork
 * podnode.go, common.go and tunneler/vxlan/podnode.go).
 */
export async function bootVm(
  cloud: TestNamespace,
  address: string,
  spec: PodNetworkSpec,
  second?: SecondInterface,
): Promise<TestVm> {
  await using stack = new AsyncDisposableStack();
  const [vm, podns] = [stack.use(await TestNamespace.create()), stack.use(await TestNamespace.create())];
  await plugIn(cloud, vm, "ens3", address);
  if (second) await plugIn(cloud, vm, "ens4", second.address);
  const remote = spec["worker-node-ip"].split("/")[0];
  await vm.ip(
    `link add name vxlan0 type vxlan id ${spec["vxlan-id"]} remote ${remote} dstport ${spec["vxlan-port"]} nolearning`,
    `link set vxlan0 netns ${podns.pid}`,
  );
  await podns.ip(...podCommands(spec));
  if (second?.externalGateway) {
    await vm.ip(`link set ens4 netns ${podns.pid}`);
    await podns.ip(
      `address add ${second.address}/24 dev ens4`,
      "link set ens4 up",
      `route replace default via ${second.externalGateway} dev ens4`,
    );
  }
  const owned = stack.move();
  return { vm, podns, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Gives a machine an interface on the cloud's network. */
export async function plugIn(
  cloud: TestNamespace,
  machine: TestNamespace,
  device: string,
  address: string,
): Promise<void> {
  const port = `p${address.replaceAll(".", "").slice(-12)}`;
  await connectNamespaces({ namespace: cloud, device: port }, { namespace: machine, device });
  await cloud.ip(`link set ${port} master br0`);
  await machine.ip(`address add ${address}/24 dev ${device}`);
}

function podCommands(spec: PodNetworkSpec): string[] {
  const dev = spec.interface;
  const single = spec.podip.endsWith("/32");
  // The address first, so that its own subnet's route, which is written again below, is the only one to be deleted.
  const routes = spec.routes.toSorted((a, b) => Number(a.gw !== "") - Number(b.gw !== ""));
  return [
    `link set vxlan0 name ${dev}`,
    `link set ${dev} address ${spec["pod-hw-addr"]}`,
    `link set ${dev} mtu ${Math.min(spec.mtu, 1450)}`,
    `address add ${spec.podip} dev ${dev}`,
    `link set ${dev} up`,
    ...(single ? [] : [`route flush dev ${dev} proto kernel table main`]),
    ...routes.map((route) => routeCommand(route)),
    ...(spec.neighbors ?? []).map(
      (entry) => `neighbour add ${entry.ip} lladdr ${entry["hw-addr"]} dev ${entry.dev} nud permanent`,
    ),
  ];
}

function routeCommand(route: PodNetworkSpec["routes"][number]): string {
  const dst = route.dst === "::ffff:0.0.0.0/0" ? "0.0.0.0/0" : route.dst;
  const via = route.gw === "" ? "scope link" : `via ${route.gw}${route.scope ? ` scope ${route.scope}` : ""}`;
  return `route add ${dst} ${via} dev ${route.dev}${route.protocol ? ` proto ${route.protocol}` : ""}`;
}
