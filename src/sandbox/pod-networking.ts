import * as v from "valibot";
import { journalFailed } from "../errors/index.ts";
import {
  type HostHint,
  inspectPodNetwork,
  type PodNetworkConfig,
  type PodNetworkFacts,
  planTunnel,
  podNetworkSpec,
  setUpTunnel,
  type TunnelDeps,
  type TunnelPlan,
  tearDownTunnel,
} from "../pod-network/index.ts";
import type { PodNetworking } from "./ports.ts";

const factsSchema: v.GenericSchema<unknown, PodNetworkFacts> = v.object({
  netns: v.string(),
  podInterface: v.string(),
  podAddress: v.string(),
  hardwareAddress: v.string(),
  mtu: v.number(),
  routes: v.array(
    v.object({
      dst: v.string(),
      gateway: v.string(),
      protocol: v.exactOptional(v.picklist(["static", "boot", "dhcp", "kernel"])),
      scope: v.exactOptional(v.picklist(["site", "link", "host", "nowhere"])),
    }),
  ),
  neighbours: v.array(v.object({ address: v.string(), hardwareAddress: v.string() })),
  workerNodeAddress: v.string(),
  hostInterface: v.string(),
  dedicated: v.boolean(),
  vxlanPort: v.number(),
  tunnelType: v.string(),
  externalNetworkViaPodVm: v.boolean(),
});

const planSchema: v.GenericSchema<unknown, TunnelPlan> = v.object({
  netns: v.string(),
  podInterface: v.string(),
  device: v.string(),
  vxlanId: v.number(),
  vxlanPort: v.number(),
  remoteAddress: v.string(),
  rules: v.array(
    v.object({
      base: v.picklist(["OUTPUT", "PREROUTING"]),
      chain: v.picklist(["peerpod-OUTPUT", "peerpod-PREROUTING"]),
      match: v.picklist(["destination", "source"]),
      comment: v.string(),
    }),
  ),
});

function fromJournal<T>(schema: v.GenericSchema<unknown, T>, text: string, what: string): T {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), text);
  if (result.success) return result.output;
  throw journalFailed(`the journal holds ${what} that cannot be read: ${result.issues[0].message}`);
}

const factsOf = (text: string): PodNetworkFacts => fromJournal(factsSchema, text, "a pod network");
const planOf = (text: string): TunnelPlan => fromJournal(planSchema, text, "a tunnel");

/** Pod networks of this machine's kernel, through iproute2, tc and iptables. */
export function kernelNetworking(deps: TunnelDeps, config: PodNetworkConfig): PodNetworking {
  const hint: HostHint = { hostInterface: "" };
  return {
    async inspect(netns, signal) {
      return JSON.stringify(await inspectPodNetwork({ ...deps, hint }, { netns, config }, signal));
    },
    // The Go adaptor counts up from 0 and derives the id from it; the id is what the VM uses.
    describe: (facts, vxlanId) => podNetworkSpec(factsOf(facts), { index: 0, vxlanId }),
    dedicated: (facts) => factsOf(facts).dedicated,
    plan: (input) =>
      JSON.stringify(
        planTunnel({ network: factsOf(input.facts), vxlanId: input.vxlanId, vmAddresses: input.vmAddresses }),
      ),
    setUp: (plan, signal) => setUpTunnel(deps, planOf(plan), signal),
    tearDown: (plan, signal) => tearDownTunnel(deps, planOf(plan), signal),
  };
}

/** For the machine room without root: pods and VMs share the machine's loopback, there is nothing to set up. */
export const noNetworking: PodNetworking = {
  inspect: async () => "{}",
  describe: (_facts, vxlanId) => ({
    podip: "127.0.0.1/8",
    "pod-hw-addr": "00:00:00:00:00:00",
    interface: "lo",
    "worker-node-ip": "127.0.0.1/8",
    "tunnel-type": "vxlan",
    routes: [],
    neighbors: null,
    mtu: 65_535,
    index: 0,
    "vxlan-port": 4789,
    "vxlan-id": vxlanId,
    dedicated: false,
    "external-net-via-pod-vm": false,
  }),
  dedicated: () => false,
  plan: () => "{}",
  setUp: async () => undefined,
  tearDown: async () => undefined,
};
