import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { execPath } from "node:process";
import { describe, expect, test } from "vitest";
import { type Exec, silentLog, systemClock, systemExec } from "../../../src/platform/index.ts";
import { type PodNetworkConfig, parseForwarderConfig } from "./apf-config.ts";
import { maskedPrefix } from "./network-commands.ts";
import { setUpPodNetwork } from "./pod-network.ts";
import { canMakeNamespaces } from "./test-vm.ts";

const recorded = (): PodNetworkConfig => {
  const apf = readFileSync(new URL("../../../test/fixtures/user-data/apf.json", import.meta.url), "utf8");
  const { podNetwork } = parseForwarderConfig(apf);
  if (podNetwork === undefined) throw new Error("the fixture has no pod network");
  return podNetwork;
};

interface TestNetwork extends AsyncDisposable {
  readonly exec: Exec;
  /** Runs a command there in the background. */
  start(argv: readonly string[]): { readonly firstOutput: Promise<unknown> } & AsyncDisposable;
}

/** A VM's network without a VM: a network and a mount namespace, and a worker's network namespace at the other end of a cable. */
async function makeTestNetwork(): Promise<TestNetwork> {
  const namespaces = ["--net", "--mount", "--fork", "--kill-child=SIGKILL"];
  const holder = spawn(
    "unshare",
    [...namespaces, "sh", "-c", "mount -t tmpfs tmpfs /run && echo ready && exec sleep infinity"],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  await once(holder.stdout, "data");
  const children = readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, "utf8").trim();
  const exec: Exec = {
    run: (argv, options) =>
      systemExec.run(["nsenter", `--target=${children}`, "--net", "--mount", "--", ...argv], options),
  };
  const network: TestNetwork = {
    exec,
    start(argv) {
      const child = spawn("nsenter", [`--target=${children}`, "--net", "--mount", "--", ...argv], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const exited = once(child, "exit");
      return {
        firstOutput: once(child.stdout, "data"),
        async [Symbol.asyncDispose]() {
          child.kill("SIGKILL");
          await exited;
        },
      };
    },
    async [Symbol.asyncDispose]() {
      const exited = once(holder, "exit");
      holder.kill("SIGKILL");
      await exited;
    },
  };
  await batch(exec, "", [
    "link set lo up",
    "link add w0 type veth peer name ens3",
    "link set ens3 up",
    "address add 192.0.2.3/24 dev ens3",
    "route add default via 192.0.2.2",
  ]);
  await ok(exec, ["ip", "netns", "add", "worker"]);
  await batch(exec, "", ["link set w0 netns worker"]);
  await batch(exec, "worker", [
    "link set w0 up",
    "address add 192.0.2.2/24 dev w0",
    "link add vxlan1 type vxlan id 555000 remote 192.0.2.3 dstport 4789 nolearning",
    "address add 10.88.0.1/16 dev vxlan1",
    "link set vxlan1 mtu 1450 up",
  ]);
  return network;
}

async function ok(exec: Exec, argv: readonly [string, ...string[]], input = ""): Promise<string> {
  const done = await exec.run(argv, { input });
  if (done.code !== 0) throw new Error(`${argv.join(" ")}: ${done.stderr}`);
  return done.stdout;
}

const batch = (exec: Exec, netns: string, lines: readonly string[]): Promise<string> =>
  ok(
    exec,
    netns === "" ? ["ip", "-batch", "-"] : ["ip", "-netns", netns, "-batch", "-"],
    `${lines.join("\n")}\n`,
  );

const inPod = (exec: Exec, ...argv: string[]): Promise<string> =>
  ok(exec, ["nsenter", "--net=/run/netns/podns", "--", ...argv]);

const podRoutes = async (exec: Exec): Promise<string[]> =>
  (await inPod(exec, "ip", "-4", "route", "show"))
    .trim()
    .split("\n")
    .map((line) => line.trim());

const options = { hostInterface: "", signal: new AbortController().signal };
const canTest = canMakeNamespaces && spawnSync("iptables", ["--version"]).status === 0;

describe("the pod's network in the VM", () => {
  test.skipIf(!canTest)(
    "the pod's interface has its address, MAC, MTU and routes, and traffic passes the tunnel (needs root, iptables)",
    async () => {
      await using network = await makeTestNetwork();
      const { exec } = network;
      await setUpPodNetwork({ exec, clock: systemClock, log: silentLog }, recorded(), options);
      const [link] = JSON.parse(
        await inPod(exec, "ip", "-json", "-details", "address", "show", "dev", "eth0"),
      );
      expect(link).toMatchObject({ ifname: "eth0", address: "ea:e9:41:94:91:40", mtu: 1450 });
      expect(link.addr_info.find((a: { family: string }) => a.family === "inet")).toMatchObject({
        local: "10.88.0.14",
        prefixlen: 16,
      });
      expect(link.linkinfo.info_data).toMatchObject({ id: 555000, port: 4789, remote: "192.0.2.2" });
      expect(await podRoutes(exec)).toEqual([
        "default via 10.88.0.1 dev eth0",
        "10.88.0.0/16 dev eth0 proto kernel scope link",
      ]);
      const rules = await ok(exec, ["iptables", "-t", "raw", "-S"]);
      expect(rules).toContain('-d 192.0.2.2/32 -p udp -m comment --comment "peerpod [vni:555000]"');
      expect(rules).toContain("-s 192.0.2.2/32 -p udp");
      // More than one packet of full size, each way.
      const serve = "net.createServer((s) => s.pipe(s)).listen(7000, () => console.log('up'))";
      await using server = network.start(["nsenter", "--net=/run/netns/worker", "--", execPath, "-e", serve]);
      await server.firstOutput;
      const ask = `const s = net.connect(7000, "10.88.0.1", () => s.end("x".repeat(100_000)));
        let n = 0; s.on("data", (d) => { n += d.length }); s.on("close", () => console.log(n))`;
      expect(await inPod(exec, execPath, "-e", ask)).toBe("100000\n");
    },
  );

  test.skipIf(!canTest)(
    "tear-down leaves neither link nor rule nor chain (needs root, iptables)",
    async () => {
      await using network = await makeTestNetwork();
      const { exec } = network;
      const before = await ok(exec, ["iptables", "-t", "raw", "-S"]);
      const pod = await setUpPodNetwork({ exec, clock: systemClock, log: silentLog }, recorded(), options);
      await pod.tearDown();
      await pod.tearDown();
      expect(await ok(exec, ["iptables", "-t", "raw", "-S"])).toBe(before);
      expect(await inPod(exec, "ip", "-json", "link", "show")).not.toContain("eth0");
    },
  );

  test.skipIf(!canTest)(
    "a forwarder that starts again finds its rules and adds none (needs root, iptables)",
    async () => {
      await using network = await makeTestNetwork();
      const { exec } = network;
      const deps = { exec, clock: systemClock, log: silentLog };
      await setUpPodNetwork(deps, recorded(), options);
      const rules = await ok(exec, ["iptables", "-t", "raw", "-S"]);
      await inPod(exec, "ip", "link", "delete", "dev", "eth0");
      await setUpPodNetwork(deps, recorded(), options);
      expect(await ok(exec, ["iptables", "-t", "raw", "-S"])).toBe(rules);
    },
  );

  test.skipIf(!canTest)(
    "a /32 with a link-local gateway and a fixed neighbour, as Azure CNI makes it, is set up as given (needs root, iptables)",
    async () => {
      await using network = await makeTestNetwork();
      const { exec } = network;
      const config: PodNetworkConfig = {
        ...recorded(),
        podIp: "10.88.0.14/32",
        mtu: 1400,
        routes: [
          { dst: "0.0.0.0/0", gateway: "169.254.1.1", device: "eth0", protocol: "boot", scope: "" },
          { dst: "169.254.1.1/32", gateway: "", device: "eth0", protocol: "boot", scope: "link" },
        ],
        neighbours: [{ ip: "169.254.1.1", mac: "ee:ee:ee:ee:ee:ee", device: "eth0", state: "permanent" }],
      };
      await setUpPodNetwork({ exec, clock: systemClock, log: silentLog }, config, options);
      expect(await podRoutes(exec)).toEqual([
        "default via 169.254.1.1 dev eth0",
        "169.254.1.1 dev eth0 scope link",
      ]);
      expect(await inPod(exec, "ip", "neigh", "show")).toContain(
        "169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee PERMANENT",
      );
      expect(await inPod(exec, "ip", "link", "show", "dev", "eth0")).toContain("mtu 1400");
    },
  );

  test.skipIf(!canTest)(
    "with the external network the VM's second interface becomes the pod's way out (needs root, iptables)",
    async () => {
      await using network = await makeTestNetwork();
      const { exec } = network;
      await batch(exec, "", [
        "link add ens4 type veth peer name far4",
        "address add 192.0.2.7/24 dev ens4",
        "link set ens4 up",
      ]);
      const config = { ...recorded(), externalNetViaPodVm: true };
      await setUpPodNetwork({ exec, clock: systemClock, log: silentLog }, config, options);
      expect((await podRoutes(exec))[0]).toMatch(/^default via 192.0.2.2 dev ens4/);
    },
  );

  test.skipIf(!canTest)(
    "two addresses on the primary interface are refused, as the stock forwarder does (needs root)",
    async () => {
      await using network = await makeTestNetwork();
      await batch(network.exec, "", ["address add 192.0.2.9/24 dev ens3"]);
      await expect(
        setUpPodNetwork({ exec: network.exec, clock: systemClock, log: silentLog }, recorded(), options),
      ).rejects.toThrow(/ens3 has more than one address/);
    },
  );

  test.skipIf(!canTest)("dedicated mode needs an interface of its own (needs root)", async () => {
    await using network = await makeTestNetwork();
    const config = { ...recorded(), dedicated: true };
    await expect(
      setUpPodNetwork({ exec: network.exec, clock: systemClock, log: silentLog }, config, options),
    ).rejects.toThrow("ens3 is not a dedicated interface");
  });
});

test("a prefix's network is what its length leaves of the address", () => {
  expect(maskedPrefix("10.88.0.14/16")).toBe("10.88.0.0/16");
  expect(maskedPrefix("172.31.255.255/20")).toBe("172.31.240.0/20");
  expect(maskedPrefix("10.1.2.3/0")).toBe("0.0.0.0/0");
  expect(maskedPrefix("10.1.2.3/32")).toBe("10.1.2.3/32");
});
