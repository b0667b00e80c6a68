import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Exec, systemExec } from "../platform/index.ts";
import { inspectPodNetwork, type PodNetworkConfig, type PodNetworkFacts } from "./inspect.ts";
import { planTunnel } from "./plan.ts";
import { podNetworkSpec } from "./spec.ts";
import { createNode, NO_NAMESPACES, TestNamespace, type TestNode } from "./test-namespaces.ts";

const signal = new AbortController().signal;

const DEFAULTS: PodNetworkConfig = {
  hostInterface: "",
  vxlanPort: 4789,
  externalNetworkViaPodVm: false,
  podSubnetCidrs: [],
  tunnelType: "vxlan",
};

const bridgePod = [
  "link add eth0 type bridge",
  "link set eth0 address 02:00:00:00:00:14 up",
  "address add 10.88.0.14/16 dev eth0",
  "route add default via 10.88.0.1",
];

describe.skipIf(NO_NAMESPACES)("inspectPodNetwork (needs root)", () => {
  let machines: TestNode;
  beforeAll(async () => {
    machines = await createNode();
    await machines.node.ip(
      "link add tunnel1 type bridge",
      "link set tunnel1 up",
      "address add 198.51.100.5/28 dev tunnel1",
      "link add bare0 type bridge",
    );
  });
  afterAll(() => machines[Symbol.asyncDispose]());

  /** What is read of a pod that these `ip` commands make. */
  async function inspect(
    commands: readonly string[],
    config: Partial<PodNetworkConfig> = {},
  ): Promise<PodNetworkFacts> {
    await using pod = await TestNamespace.create();
    await pod.ip(...commands);
    const input = { netns: pod.path, config: { ...DEFAULTS, ...config } };
    return await inspectPodNetwork({ exec: machines.node.exec }, input, signal);
  }

  const specOf = async (commands: readonly string[], config: Partial<PodNetworkConfig> = {}) =>
    podNetworkSpec(await inspect(commands, config), { index: 3, vxlanId: 555_003 });

  test("reads a bridge CNI's pod as the Go adaptor does", async () => {
    expect(await specOf(bridgePod)).toEqual({
      podip: "10.88.0.14/16",
      "pod-hw-addr": "02:00:00:00:00:14",
      interface: "eth0",
      "worker-node-ip": "192.0.2.2/24",
      "tunnel-type": "vxlan",
      routes: [
        { dst: "::ffff:0.0.0.0/0", gw: "10.88.0.1", dev: "eth0", protocol: "boot" },
        { dst: "10.88.0.0/16", gw: "", dev: "eth0", protocol: "kernel", scope: "link" },
      ],
      neighbors: null,
      mtu: 1500,
      index: 3,
      "vxlan-port": 4789,
      "vxlan-id": 555_003,
      dedicated: false,
      "external-net-via-pod-vm": false,
    });
  });

  test("has the keys of apf.json in Go's order", async () => {
    expect(Object.keys(await specOf(bridgePod))).toEqual([
      "podip",
      "pod-hw-addr",
      "interface",
      "worker-node-ip",
      "tunnel-type",
      "routes",
      "neighbors",
      "mtu",
      "index",
      "vxlan-port",
      "vxlan-id",
      "dedicated",
      "external-net-via-pod-vm",
    ]);
  });

  test("reads Azure CNI's transparent mode: /32, link-local gateway, permanent neighbour", async () => {
    const spec = await specOf(
      [
        "link add eth0 type bridge",
        "link set eth0 up",
        "address add 10.240.0.14/32 dev eth0",
        "route add 169.254.1.1 dev eth0 scope link",
        "route add default via 169.254.1.1 dev eth0 proto static",
        "neighbour add 169.254.1.1 lladdr 12:34:56:78:9a:bc dev eth0 nud permanent",
        "neighbour add 169.254.1.9 lladdr 12:34:56:78:9a:bd dev eth0 nud stale",
        "-6 neighbour add fe80::1 lladdr 12:34:56:78:9a:be dev eth0 nud permanent",
      ].map((line) => line.replace(/^-6 /, "")),
    );
    expect(spec.podip).toBe("10.240.0.14/32");
    expect(spec.routes).toEqual([
      { dst: "::ffff:0.0.0.0/0", gw: "169.254.1.1", dev: "eth0", protocol: "static" },
      { dst: "169.254.1.1/32", gw: "", dev: "eth0", protocol: "boot", scope: "link" },
    ]);
    expect(spec.neighbors).toEqual([
      { ip: "169.254.1.1", "hw-addr": "12:34:56:78:9a:bc", dev: "eth0", state: "permanent" },
    ]);
  });

  test("reads MTU and routes of all accepted protocols, sorted, and nothing else", async () => {
    const spec = await specOf([
      ...bridgePod,
      "link set eth0 mtu 9001",
      "route add 172.16.0.0/12 via 10.88.0.2 proto static",
      "route add 10.96.0.0/12 via 10.88.0.3 proto dhcp",
      "route add 10.99.0.0/16 via 10.88.0.3 proto bird",
      "route add blackhole 10.98.0.0/16",
      "route add 10.97.0.0/16 nexthop via 10.88.0.4 nexthop via 10.88.0.5",
      "route add 10.95.0.0/16 via 10.88.0.6 table 100",
    ]);
    expect(spec.mtu).toBe(9001);
    expect(spec.routes.map((route) => `${route.dst} ${route.gw} ${route.protocol}`)).toEqual([
      "::ffff:0.0.0.0/0 10.88.0.1 boot",
      "10.88.0.0/16  kernel",
      "10.96.0.0/12 10.88.0.3 dhcp",
      "10.97.0.0/16 10.88.0.4 boot",
      "172.16.0.0/12 10.88.0.2 static",
    ]);
  });

  test("of several interfaces takes the one with the default route, and leaves out the others' routes, which the VM lacks", async () => {
    const spec = await specOf([
      ...bridgePod,
      "link add net1 type bridge",
      "link set net1 up",
      "address add 172.31.0.5/24 dev net1",
      "route add 172.30.0.0/16 via 172.31.0.1",
    ]);
    expect(spec.interface).toBe("eth0");
    expect(spec.routes.map((route) => route.dst)).toEqual(["::ffff:0.0.0.0/0", "10.88.0.0/16"]);
  });

  test("with a second host interface is dedicated, and the tunnel starts there", async () => {
    const facts = await inspect(bridgePod, { hostInterface: "tunnel1" });
    expect(facts).toMatchObject({
      dedicated: true,
      workerNodeAddress: "198.51.100.5/28",
      hostInterface: "tunnel1",
    });
    expect(await inspect(bridgePod, { hostInterface: "uplink0" })).toMatchObject({ dedicated: false });
    const vmAddresses = ["192.0.2.10", "198.51.100.6"];
    expect(planTunnel({ network: facts, vxlanId: 5, vmAddresses }).remoteAddress).toBe("198.51.100.6");
  });

  test("with an external network of the VM adds the pod subnets by the pod's gateway", async () => {
    const spec = await specOf(bridgePod, {
      externalNetworkViaPodVm: true,
      podSubnetCidrs: ["10.244.0.0/16", "10.96.5.5/12"],
    });
    expect(spec["external-net-via-pod-vm"]).toBe(true);
    expect(spec.routes.slice(2)).toEqual([
      { dst: "10.244.0.0/16", gw: "10.88.0.1", dev: "eth0" },
      { dst: "10.96.0.0/12", gw: "10.88.0.1", dev: "eth0" },
    ]);
  });

  test.each([
    [
      "an IPv6-only pod",
      [
        "link add eth0 type bridge",
        "link set eth0 up",
        "address add fd00::14/64 dev eth0",
        "route add default via fd00::1",
      ],
      /has no IPv4 address, only IPv6; peer pods need IPv4/,
    ],
    ["a pod without network", ["link add eth0 type bridge"], /has no IPv4 address; peer pods need IPv4/],
    [
      "a pod without default route",
      ["link add eth0 type bridge", "link set eth0 up", "address add 10.88.0.14/16 dev eth0"],
      /has no IPv4 default route/,
    ],
    [
      "a pod with two IPv4 addresses",
      [...bridgePod, "address add 10.88.0.15/16 dev eth0"],
      /eth0 in .* has 2 IPv4 addresses \(10.88.0.14\/16, 10.88.0.15\/16\); peer pods take exactly one/,
    ],
    [
      "a pod whose primary interface has no address",
      [...bridgePod, "link add net1 type bridge", "link set net1 up", "route replace default dev net1"],
      /net1 in .* has a default route and no IPv4 address/,
    ],
  ])("refuses %s and says why", async (_, commands, message) => {
    const attempt = inspect(commands);
    await expect(attempt).rejects.toThrow(message);
    await expect(attempt).rejects.toMatchObject({ kind: "invalid-request" });
  });

  test.each([
    [
      "a host interface that is not there",
      { hostInterface: "eth9" },
      "invalid-config",
      /eth9 does not exist on this node or has no IPv4 address.*; those that have one are lo, uplink0/,
    ],
    [
      "a host interface without address",
      { hostInterface: "bare0" },
      "invalid-config",
      /bare0 .* has no IPv4/,
    ],
    [
      "a wrong pod subnet",
      { podSubnetCidrs: ["10.0.0.0"] },
      "invalid-config",
      /POD_SUBNET_CIDRS: "10.0.0.0" is not an IPv4 prefix/,
    ],
    ["another tunnel type", { tunnelType: "gre" }, "invalid-config", /TUNNEL_TYPE=gre is not known/],
  ] as const)("refuses %s", async (_, config, kind, message) => {
    const attempt = inspect(bridgePod, config);
    await expect(attempt).rejects.toThrow(message);
    await expect(attempt).rejects.toMatchObject({ kind });
  });

  test("needs a host interface named when the node has no default route, and is content with that", async () => {
    await using node = await TestNamespace.create();
    await using pod = await TestNamespace.create();
    await pod.ip(...bridgePod);
    await node.ip("link add eth0 type bridge", "address add 192.0.2.7/24 dev eth0");
    const inspectWith = (hostInterface: string): Promise<PodNetworkFacts> =>
      inspectPodNetwork(
        { exec: node.exec },
        { netns: pod.path, config: { ...DEFAULTS, hostInterface } },
        signal,
      );
    await expect(inspectWith("")).rejects.toThrow(/no IPv4 default route.*set -host-interface/);
    expect(await inspectWith("eth0")).toMatchObject({ dedicated: false, workerNodeAddress: "192.0.2.7/24" });
  });

  test("asks for the one interface of the last time, and for all when that is another one or gone", async () => {
    await using node = await TestNamespace.create();
    await using pod = await TestNamespace.create();
    await pod.ip(...bridgePod);
    await node.ip("link add eth0 type bridge", "link set eth0 up", "address add 192.0.2.7/24 dev eth0");
    await node.ip("link add eth1 type bridge", "link set eth1 up", "address add 198.51.100.7/24 dev eth1");
    await node.ip("route add default via 192.0.2.1");
    const questions: (string | undefined)[] = [];
    const exec: Exec = {
      run: (argv, options) => {
        if (argv[0] === "ip") questions.push(options?.input?.split("\n")[0]);
        return node.exec.run(argv, options);
      },
    };
    const hint = { hostInterface: "" };
    const address = async (): Promise<string> =>
      (await inspectPodNetwork({ exec, hint }, { netns: pod.path, config: DEFAULTS }, signal))
        .workerNodeAddress;
    expect([await address(), await address()]).toEqual(["192.0.2.7/24", "192.0.2.7/24"]);
    await node.ip("route replace default via 198.51.100.1");
    expect(await address()).toBe("198.51.100.7/24");
    await node.ip("link delete eth1", "route add default via 192.0.2.1");
    expect(await address()).toBe("192.0.2.7/24");
    await node.ip(
      "address delete 192.0.2.7/24 dev eth0",
      "address add 192.0.2.8/24 dev eth0",
      "route add default via 192.0.2.1",
    );
    expect(await address()).toBe("192.0.2.8/24");
    const [all, one, other] = ["address show", "address show dev eth0", "address show dev eth1"];
    expect(questions).toEqual([all, one, one, all, other, all, one]);
  });

  test("ends with the caller's patience", async () => {
    const stopped = AbortSignal.abort(new Error("gave up"));
    const input = { netns: machines.node.path, config: DEFAULTS };
    await expect(inspectPodNetwork({ exec: machines.node.exec }, input, stopped)).rejects.toThrow();
  });
});

describe("a network namespace path", () => {
  const attempt = (netns: string): Promise<PodNetworkFacts> =>
    inspectPodNetwork({ exec: systemExec }, { netns, config: DEFAULTS }, signal);

  test.each(["", "netns", "--net=/proc/1/ns/net", "-a", "/run/netns/\0x"])(
    "is refused when it is %j",
    async (netns) => {
      await expect(attempt(netns)).rejects.toThrow(/is not an absolute path/);
    },
  );

  test("is refused when nothing is there, or something else", async () => {
    const directory = mkdtempSync(join(tmpdir(), "netns-"));
    try {
      writeFileSync(join(directory, "file"), "");
      for (const netns of [
        join(directory, "none"),
        join(directory, "file"),
        join(directory, "file/x"),
        directory,
      ]) {
        await expect(attempt(netns)).rejects.toThrow(`${netns} is not a network namespace`);
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

test("output that is not iproute2's JSON is refused with a hint at the version", async () => {
  const exec = { run: async () => ({ code: 0, stdout: "eth0: <UP>\n2: lo\n3: x\n", stderr: "" }) };
  const attempt = inspectPodNetwork({ exec }, { netns: "/proc/self/ns/uts", config: DEFAULTS }, signal);
  await expect(attempt).rejects.toThrow(/iproute2 5.19 or newer is needed/);
});
