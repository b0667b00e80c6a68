import type { KvmNetwork } from "./config.ts";
import { toAddress } from "./subnet.ts";

/** What host/network.sh wants to know. */
export function networkValues(network: KvmNetwork): Readonly<Record<string, string | number>> {
  const { bridge, prefix, netmask, gateway, dns, dhcp, nat } = network;
  return {
    BRIDGE: bridge,
    GATEWAY: gateway,
    NETWORK: toAddress(prefix.base),
    SUBNET: `${toAddress(prefix.base)}/${prefix.length}`,
    PREFIX_LENGTH: prefix.length,
    NETMASK: netmask,
    DNS: dns.join(","),
    DHCP: dhcp ? 1 : 0,
    NAT: nat ? 1 : 0,
  };
}
