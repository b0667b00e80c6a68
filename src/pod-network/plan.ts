import { internal, networkFailed } from "../errors/index.ts";
import { isIpv4 } from "./ipv4.ts";
import { isPlainDeviceName } from "./namespace.ts";

/** A rule that keeps the tunnel's packets out of connection tracking. The chain is made on demand and removed when empty. */
export interface TunnelRule {
  /** Chain of table raw from which `chain` is jumped to. */
  readonly base: "OUTPUT" | "PREROUTING";
  readonly chain: "peerpod-OUTPUT" | "peerpod-PREROUTING";
  /** Which address of the packet is the VM's. */
  readonly match: "destination" | "source";
  readonly comment: string;
}

/**
 * All that has to be known to set up, find and remove the node's end of one pod's tunnel. Plain data for the journal; once it is
 * recorded nothing is looked up or computed again.
 */
export interface TunnelPlan {
  readonly netns: string;
  /** The pod's own interface, whose traffic goes to the VM. */
  readonly podInterface: string;
  /** The VXLAN device beside it in the pod's namespace. */
  readonly device: string;
  readonly vxlanId: number;
  readonly vxlanPort: number;
  /** The VM's address, or its second one with a dedicated tunnel interface. */
  readonly remoteAddress: string;
  /** In table raw of the node's namespace. */
  readonly rules: readonly TunnelRule[];
}

/** The Go adaptor's name for it; a Go adaptor that takes the node over looks for it at teardown. */
const POD_VXLAN_DEVICE = "vxlan1";

const MAX_VXLAN_ID = 2 ** 24 - 1;

export interface PlanInput {
  /** Of the pod's facts. */
  readonly network: {
    readonly netns: string;
    readonly podInterface: string;
    readonly vxlanPort: number;
    readonly dedicated: boolean;
  };
  /** Unique on this node among all tunnels of the same port, those being removed included. */
  readonly vxlanId: number;
  /** The VM's, in the provider's order. */
  readonly vmAddresses: readonly string[];
}

/** Throws `network` if the VM lacks the address that the tunnel needs. Touches nothing. */
export function planTunnel(input: PlanInput): TunnelPlan {
  const { network, vxlanId, vmAddresses } = input;
  if (!Number.isInteger(vxlanId) || vxlanId < 1 || vxlanId > MAX_VXLAN_ID) {
    throw internal(`${vxlanId} is not a VXLAN id: 1 to ${MAX_VXLAN_ID}`);
  }
  if (!isPlainDeviceName(network.podInterface) || network.podInterface === POD_VXLAN_DEVICE) {
    throw networkFailed(`the pod's interface cannot be called ${JSON.stringify(network.podInterface)}`);
  }
  const comment = `peerpod [vni:${vxlanId}]`;
  return {
    netns: network.netns,
    podInterface: network.podInterface,
    device: POD_VXLAN_DEVICE,
    vxlanId,
    vxlanPort: network.vxlanPort,
    remoteAddress: remoteAddress(vmAddresses, network.dedicated),
    rules: [
      { base: "OUTPUT", chain: "peerpod-OUTPUT", match: "destination", comment },
      { base: "PREROUTING", chain: "peerpod-PREROUTING", match: "source", comment },
    ],
  };
}

function remoteAddress(vmAddresses: readonly string[], dedicated: boolean): string {
  const address = dedicated ? vmAddresses[1] : vmAddresses[0];
  if (address === undefined) {
    throw networkFailed(
      dedicated
        ? `the tunnel has a host interface of its own, so the pod VM needs a second address; it has ${vmAddresses.length}. Give the VM a second network interface, or unset -host-interface`
        : "the pod VM has no address",
    );
  }
  if (!isIpv4(address)) throw networkFailed(`the pod VM's address ${JSON.stringify(address)} is not IPv4`);
  return address;
}
