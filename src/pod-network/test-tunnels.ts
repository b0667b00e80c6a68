import { type Exec, type Log, silentLog } from "../platform/index.ts";
import { planTunnel, type TunnelPlan } from "./plan.ts";
import { connectNamespaces, TestNamespace } from "./test-namespaces.ts";
import { setUpTunnel, type TunnelDeps, tearDownTunnel, tunnelResidue } from "./tunnel.ts";

const signal = new AbortController().signal;

/** How many things `residue` names for a complete tunnel. */
export const COMPLETE_TUNNEL = 5;

/** A node of a test's own on which tunnels are made and removed. */
export class TunnelBench {
  readonly node: TestNamespace;
  readonly exec: Exec;
  readonly #iptables: string;

  constructor(node: TestNamespace, iptables: string) {
    this.node = node;
    this.#iptables = iptables;
    this.exec = {
      run: ([file, ...args], options) =>
        node.exec.run([file.replace(/^iptables/, iptables), ...args], options),
    };
  }

  /** `iptables`: the one of the variants that the node has. */
  static async create(iptables = "iptables"): Promise<TunnelBench> {
    const node = await TestNamespace.create();
    await connectNamespaces({ namespace: node, device: "uplink0" }, { namespace: node, device: "uplink1" });
    await node.ip("address add 192.0.2.2/24 dev uplink0");
    return new TunnelBench(node, iptables);
  }

  async newPod(n = 0): Promise<TestNamespace> {
    const pod = await TestNamespace.create();
    await connectNamespaces(
      { namespace: this.node, device: `veth${pod.pid}` },
      { namespace: pod, device: "eth0" },
    );
    await pod.ip(`address add 10.88.0.${n + 2}/16 dev eth0`);
    return pod;
  }

  planFor(pod: TestNamespace, n = 0): TunnelPlan {
    const network = { netns: pod.path, podInterface: "eth0", vxlanPort: 4789, dedicated: false };
    return planTunnel({ network, vxlanId: 555_000 + n, vmAddresses: [`192.0.2.${n + 10}`] });
  }

  /** `iptables` in table raw. */
  rules(...args: readonly string[]): Promise<string> {
    return this.node.run(this.#iptables, "-t", "raw", ...(args.length > 0 ? args : ["-S"]));
  }

  /** The node's rules and interfaces, but for those of pods. */
  async nodeState(): Promise<string> {
    const links: { ifname: string }[] = JSON.parse(await this.node.run("ip", "-json", "link", "show"));
    const names = links.map((link) => link.ifname).filter((name) => !name.startsWith("veth"));
    return `${await this.rules()}${names.join(" ")}`;
  }

  /** Queueing, filters and the number of interfaces. */
  async podState(pod: TestNamespace): Promise<string> {
    const qdiscs = await pod.run("tc", "qdisc", "show", "dev", "eth0");
    const filters = await pod.run("tc", "filter", "show", "dev", "eth0", "ingress");
    const links = await pod.run("ip", "-oneline", "link", "show");
    return `${qdiscs}${filters}${links.split("\n").length}`;
  }

  setUp(plan: TunnelPlan, onStep?: TunnelDeps["onStep"]): Promise<void> {
    return setUpTunnel({ exec: this.exec, log: silentLog, ...(onStep && { onStep }) }, plan, signal);
  }

  tearDown(plan: TunnelPlan, deps: { log?: Log; onStep?: TunnelDeps["onStep"] } = {}): Promise<void> {
    const { log = silentLog, onStep } = deps;
    return tearDownTunnel({ exec: this.exec, log, ...(onStep && { onStep }) }, plan, signal);
  }

  residue(plan: TunnelPlan): Promise<string[]> {
    return tunnelResidue({ exec: this.exec }, plan, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node.remove();
  }
}

/** What `stopAt` throws. */
export class StoppedHere extends Error {}

/** Ends the work before or after one step, as a crash there would. */
export const stopAt =
  (wanted: string, wantedPhase: string): NonNullable<TunnelDeps["onStep"]> =>
  (step, phase) => {
    if (step === wanted && phase === wantedPhase) throw new StoppedHere();
  };
