import { describe, expect, test } from "vitest";
import { silentLog } from "../platform/index.ts";
import { inspectPodNetwork, type PodNetworkConfig, type PodNetworkFacts } from "./inspect.ts";
import { planTunnel, type TunnelPlan } from "./plan.ts";
import { type PodNetworkSpec, podNetworkSpec } from "./spec.ts";
import {
  bootVm,
  connectNamespaces,
  createNode,
  NO_NAMESPACES,
  plugIn,
  TestNamespace,
  type TestNode,
  vmAddress,
} from "./test-namespaces.ts";
import { serveEcho, traffic } from "./test-traffic.ts";
import { setUpTunnel, tearDownTunnel, tunnelResidue } from "./tunnel.ts";

const signal = new AbortController().signal;

/** How a CNI connects a pod to its node, and from where to where traffic must flow. */
interface Layout {
  readonly podAddress: string;
  /** An address of the node that the pod can reach. */
  readonly nodeAddress: string;
  readonly mtu: number;
  /** Interface in the node's namespace. */
  build(node: TestNamespace, pod: TestNamespace): Promise<void>;
}

function bridge(mtu: number): Layout {
  return {
    podAddress: "10.88.0.14",
    nodeAddress: "10.88.0.1",
    mtu,
    async build(node, pod) {
      await connectNamespaces({ namespace: node, device: "veth0" }, { namespace: pod, device: "eth0" }, mtu);
      await node.ip(
        "link add cni0 type bridge",
        `link set cni0 mtu ${mtu} up`,
        "address add 10.88.0.1/16 dev cni0",
        "link set veth0 master cni0",
      );
      await pod.ip("address add 10.88.0.14/16 dev eth0", "route add default via 10.88.0.1");
    },
  };
}

/** A veth to the node, a /32, and a gateway that is only there to be resolved. */
const routed: Layout = {
  podAddress: "10.240.0.14",
  nodeAddress: "192.0.2.2",
  mtu: 1500,
  async build(node, pod) {
    await connectNamespaces({ namespace: node, device: "azv0" }, { namespace: pod, device: "eth0" });
    await node.ip("route add 10.240.0.14/32 dev azv0");
    await pod.ip(
      "address add 10.240.0.14/32 dev eth0",
      "route add 169.254.1.1 dev eth0 scope link",
      "route add default via 169.254.1.1 dev eth0",
    );
  },
};

const azureTransparent: Layout = {
  ...routed,
  async build(node, pod) {
    await routed.build(node, pod);
    const [veth] = JSON.parse(await node.run("ip", "-json", "link", "show", "azv0"));
    await pod.ip(`neighbour add 169.254.1.1 lladdr ${veth.address} dev eth0 nud permanent`);
  },
};

const calico: Layout = {
  ...routed,
  async build(node, pod) {
    await routed.build(node, pod);
    // A node forwards, and answers for every address that it has a route to.
    const settings = "echo 1 > ip_forward; echo 1 > conf/azv0/proxy_arp; echo 0 > neigh/azv0/proxy_delay";
    await node.run("sh", "-c", `cd /proc/sys/net/ipv4; ${settings}`);
  },
};

/** The node is on the pods' own subnet, whose gateway is the cloud's. */
const azureBridge: Layout = {
  podAddress: "10.240.0.14",
  nodeAddress: "10.240.0.4",
  mtu: 1500,
  async build(node, pod) {
    await connectNamespaces({ namespace: node, device: "azv0" }, { namespace: pod, device: "eth0" });
    await node.ip(
      "link add azure0 type bridge",
      "link set azure0 up",
      "address add 10.240.0.4/16 dev azure0",
      "link set azv0 master azure0",
    );
    await pod.ip("address add 10.240.0.14/16 dev eth0", "route add default via 10.240.0.1");
  },
};

interface Tunnel {
  readonly facts: PodNetworkFacts;
  readonly spec: PodNetworkSpec;
  readonly plan: TunnelPlan;
}

interface TunnelChange {
  readonly config?: Partial<PodNetworkConfig>;
  readonly vmAddresses?: readonly string[];
}

async function openTunnel(
  { node }: TestNode,
  pod: TestNamespace,
  change: TunnelChange = {},
): Promise<Tunnel> {
  const config = {
    hostInterface: "",
    vxlanPort: 4789,
    externalNetworkViaPodVm: false,
    podSubnetCidrs: [],
    tunnelType: "vxlan",
    ...change.config,
  };
  const facts = await inspectPodNetwork({ exec: node.exec }, { netns: pod.path, config }, signal);
  const spec = podNetworkSpec(facts, { index: 7, vxlanId: 555007 });
  const plan = planTunnel({
    network: facts,
    vxlanId: 555007,
    vmAddresses: change.vmAddresses ?? [vmAddress(1)],
  });
  await setUpTunnel({ exec: node.exec, log: silentLog }, plan, signal);
  return { facts, spec, plan };
}

const HEADERS = 28; // IPv4 and UDP

describe.each([
  ["a bridge CNI", bridge(1500)],
  ["a bridge CNI with jumbo frames", bridge(9001)],
  ["a bridge CNI with a small MTU", bridge(1280)],
  ["Azure CNI in bridge mode", azureBridge],
  ["Azure CNI in transparent mode", azureTransparent],
  ["a Calico-like CNI", calico],
])("under %s", (_, layout) => {
  test.skipIf(NO_NAMESPACES)(
    "the VM is reached and reaches out as the pod, up to the MTU (needs root)",
    async () => {
      await using machines = await createNode();
      await using pod = await TestNamespace.create();
      await layout.build(machines.node, pod);
      const before = await state(machines.node, pod);
      const { spec, plan, facts } = await openTunnel(machines, pod);
      await using vm = await bootVm(machines.cloud, vmAddress(1), spec);
      await using _vmServer = await serveEcho(vm.podns);
      await using _nodeServer = await serveEcho(machines.node);

      const vmMtu = Math.min(layout.mtu, 1450);
      const [inwards, small, large, outwards, smallOut, largeOut] = await Promise.all([
        traffic(machines.node, "tcp", layout.podAddress, "1000000"),
        traffic(machines.node, "udp", layout.podAddress, `${vmMtu - HEADERS}`),
        traffic(machines.node, "udp", layout.podAddress, `${layout.mtu - HEADERS}`),
        traffic(vm.podns, "tcp", layout.nodeAddress, "1000000"),
        traffic(vm.podns, "udp", layout.nodeAddress, `${vmMtu - HEADERS}`),
        traffic(vm.podns, "udp", layout.nodeAddress, "4000"),
      ]);
      expect(inwards).toMatch(/^1000000 bytes back/);
      expect([small, large]).toEqual([`${vmMtu - HEADERS} bytes back`, `${layout.mtu - HEADERS} bytes back`]);
      expect(outwards).toBe(`1000000 bytes back, seen as ${layout.podAddress}`);
      expect([smallOut, largeOut]).toEqual([`${vmMtu - HEADERS} bytes back`, "4000 bytes back"]);

      const [neighbour] = JSON.parse(
        await machines.node.run("ip", "-json", "neighbour", "show", layout.podAddress),
      );
      expect(neighbour.lladdr).toBe(facts.hardwareAddress);
      expect(facts.mtu).toBe(layout.mtu);

      await tearDownTunnel({ exec: machines.node.exec, log: silentLog }, plan, signal);
      expect(await tunnelResidue({ exec: machines.node.exec }, plan, signal)).toEqual([]);
      expect(await state(machines.node, pod)).toEqual(before);
    },
  );
});

test.skipIf(NO_NAMESPACES)(
  "with dedicated interfaces the tunnel runs between the second addresses (needs root)",
  async () => {
    await using machines = await createNode();
    await using pod = await TestNamespace.create();
    const layout = bridge(1500);
    await layout.build(machines.node, pod);
    await plugIn(machines.cloud, machines.node, "tunnel0", "198.51.100.5");
    const vmAddresses = [vmAddress(1), "198.51.100.6"];
    const { spec, plan } = await openTunnel(machines, pod, {
      config: { hostInterface: "tunnel0" },
      vmAddresses,
    });
    expect([spec["worker-node-ip"], spec.dedicated, plan.remoteAddress]).toEqual([
      "198.51.100.5/24",
      true,
      "198.51.100.6",
    ]);
    await using vm = await bootVm(machines.cloud, vmAddress(1), spec, { address: "198.51.100.6" });
    await using _server = await serveEcho(vm.podns);
    expect(await traffic(machines.node, "tcp", layout.podAddress, "100000")).toMatch(/^100000 bytes back/);
    const [neighbour] = JSON.parse(
      await machines.node.run("ip", "-json", "neighbour", "show", "dev", "tunnel0"),
    );
    expect(neighbour.dst).toBe("198.51.100.6");
    await tearDownTunnel({ exec: machines.node.exec, log: silentLog }, plan, signal);
    expect(await tunnelResidue({ exec: machines.node.exec }, plan, signal)).toEqual([]);
  },
);

test.skipIf(NO_NAMESPACES)(
  "with an external network of the VM cluster traffic stays on the tunnel and the rest leaves there (needs root)",
  async () => {
    await using machines = await createNode();
    await using pod = await TestNamespace.create();
    const layout = bridge(1500);
    await layout.build(machines.node, pod);
    await machines.node.ip("address add 10.96.0.1/32 dev lo");
    await machines.cloud.ip("address add 203.0.113.1/24 dev br0");
    const config = { externalNetworkViaPodVm: true, podSubnetCidrs: ["10.96.0.0/12"] };
    const { spec } = await openTunnel(machines, pod, { config });
    const second = { address: "203.0.113.9", externalGateway: "203.0.113.1" };
    await using vm = await bootVm(machines.cloud, vmAddress(1), spec, second);
    await using _cluster = await serveEcho(machines.node);
    await using _internet = await serveEcho(machines.cloud);
    await using _pod = await serveEcho(vm.podns);
    expect(await traffic(vm.podns, "tcp", "10.96.0.1", "1000")).toBe("1000 bytes back, seen as 10.88.0.14");
    expect(await traffic(vm.podns, "tcp", "203.0.113.1", "1000")).toBe(
      "1000 bytes back, seen as 203.0.113.9",
    );
    expect(await traffic(machines.node, "tcp", layout.podAddress, "1000")).toMatch(/^1000 bytes back/);
  },
);

/** Names of interfaces, filters and rules of the node and the pod. */
async function state(node: TestNamespace, pod: TestNamespace): Promise<string[]> {
  return [
    await interfaces(node),
    await node.run("iptables", "-t", "raw", "-S"),
    await interfaces(pod),
    await pod.run("tc", "qdisc", "show"),
    await pod.run("tc", "filter", "show", "dev", "eth0", "ingress"),
  ];
}

async function interfaces(namespace: TestNamespace): Promise<string> {
  const links: { ifname: string }[] = JSON.parse(await namespace.run("ip", "-json", "link", "show"));
  return links.map((link) => link.ifname).join(" ");
}
