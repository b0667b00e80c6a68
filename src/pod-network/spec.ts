import type { PodNetworkFacts, PodRouteFact } from "./inspect.ts";

interface SpecRoute {
  readonly dst: string;
  readonly gw: string;
  readonly dev: string;
  readonly protocol?: "static" | "boot" | "dhcp" | "kernel";
  readonly scope?: "site" | "link" | "host" | "nowhere";
}

interface SpecNeighbor {
  readonly ip: string;
  readonly "hw-addr": string;
  readonly dev: string;
  readonly state: string;
}

/** `pod-network` of apf.json. Names and order are Go's (pkg/podnetwork/tunneler Config). */
export interface PodNetworkSpec {
  readonly podip: string;
  readonly "pod-hw-addr": string;
  readonly interface: string;
  readonly "worker-node-ip": string;
  readonly "tunnel-type": string;
  readonly routes: readonly SpecRoute[];
  readonly neighbors: readonly SpecNeighbor[] | null;
  readonly mtu: number;
  readonly index: number;
  readonly "vxlan-port": number;
  readonly "vxlan-id": number;
  readonly dedicated: boolean;
  readonly "external-net-via-pod-vm": boolean;
}

/** How Go prints the default route: its netlink library holds 0.0.0.0 as sixteen bytes. */
const GO_DEFAULT_ROUTE = "::ffff:0.0.0.0/0";

/** What the VM is told of the pod's network. `vxlanId` is the smallest id plus `index`. */
export function podNetworkSpec(
  facts: PodNetworkFacts,
  ids: { readonly index: number; readonly vxlanId: number },
): PodNetworkSpec {
  const dev = facts.podInterface;
  const neighbors = facts.neighbours.map((entry) => ({
    ip: entry.address,
    "hw-addr": entry.hardwareAddress,
    dev,
    state: "permanent",
  }));
  return {
    podip: facts.podAddress,
    "pod-hw-addr": facts.hardwareAddress,
    interface: dev,
    "worker-node-ip": facts.workerNodeAddress,
    "tunnel-type": facts.tunnelType,
    routes: facts.routes.map((route) => specRoute(route, dev)),
    neighbors: neighbors.length > 0 ? neighbors : null,
    mtu: facts.mtu,
    index: ids.index,
    "vxlan-port": facts.vxlanPort,
    "vxlan-id": ids.vxlanId,
    dedicated: facts.dedicated,
    "external-net-via-pod-vm": facts.externalNetworkViaPodVm,
  };
}

const specRoute = ({ dst, gateway, protocol, scope }: PodRouteFact, dev: string): SpecRoute => ({
  dst: dst === "0.0.0.0/0" ? GO_DEFAULT_ROUTE : dst,
  gw: gateway,
  dev,
  ...(protocol && { protocol }),
  ...(scope && { scope }),
});
