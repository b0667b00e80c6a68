import { unavailable } from "../../src/errors/index.ts";
import type { PodNetworking, SandboxFiles } from "../../src/sandbox/index.ts";
import type { LinkTarget, ShimProxyControl } from "../../src/shim-proxy/index.ts";
import type { PodNetworkSpec } from "../../src/user-data/index.ts";

/** Tunnels and folders of a node, in memory. */
export class FakeNode implements PodNetworking, SandboxFiles {
  readonly tunnels: Set<string> = new Set();
  readonly dirs: Set<string> = new Set();
  #failures: Error[] = [];

  failNextTunnel(...errors: Error[]): void {
    this.#failures.push(...errors);
  }

  async inspect(netns: string): Promise<string> {
    return JSON.stringify({ netns });
  }

  describe(_facts: string, vxlanId: number): PodNetworkSpec {
    return {
      podip: "10.244.0.5/24",
      "pod-hw-addr": "02:00:00:00:00:01",
      interface: "eth0",
      "worker-node-ip": "192.0.2.1/24",
      "tunnel-type": "vxlan",
      routes: [],
      neighbors: null,
      mtu: 1500,
      index: 0,
      "vxlan-port": 4789,
      "vxlan-id": vxlanId,
      dedicated: false,
      "external-net-via-pod-vm": false,
    };
  }

  /** Whether a tunnel needs an interface of its own. */
  isDedicated = false;

  dedicated(): boolean {
    return this.isDedicated;
  }

  plan(input: { readonly vxlanId: number; readonly netns: string }): string {
    return JSON.stringify({ vxlanId: input.vxlanId, netns: input.netns });
  }

  async setUp(plan: string): Promise<void> {
    const failure = this.#failures.shift();
    this.tunnels.add(plan);
    if (failure !== undefined) throw failure;
  }

  async tearDown(plan: string): Promise<void> {
    const failure = this.#failures.shift();
    if (failure !== undefined) throw failure;
    this.tunnels.delete(plan);
  }

  makeDir(path: string): void {
    this.dirs.add(path);
  }

  removeDir(path: string): void {
    this.dirs.delete(path);
  }
}

/** The shim-proxy's control side, in memory: what was put and not closed. */
export class FakeProxy implements ShimProxyControl {
  readonly sandboxes: Map<string, string> = new Map();
  readonly links: Map<string, LinkTarget> = new Map();
  readonly failedLinks: Map<string, string> = new Map();
  readonly acknowledged: string[] = [];
  away = false;

  #check(): void {
    if (this.away) throw unavailable("the proxy is away");
  }

  async putSandbox(id: string, dir: string): Promise<void> {
    this.#check();
    this.sandboxes.set(id, dir);
  }

  async putLink(target: LinkTarget): Promise<void> {
    this.#check();
    this.links.set(target.id, target);
  }

  async failLink(id: string, reason: string): Promise<void> {
    this.#check();
    this.failedLinks.set(id, reason);
  }

  async closeSandbox(id: string): Promise<void> {
    this.#check();
    this.sandboxes.delete(id);
    this.links.delete(id);
  }

  async ackStop(id: string): Promise<void> {
    this.#check();
    this.acknowledged.push(id);
  }
}
