import { networkFailed } from "../../../src/errors/index.ts";
import {
  addressesByInterface,
  type DefaultRoute,
  defaultRoutes,
  maskedPrefix,
  type NetworkCommands,
  POD_NETNS,
} from "./network-commands.ts";

/** Interfaces of these kinds are never taken for the second one (cloud-api-adaptor pkg/podnetwork/common.go). */
const NEVER = ["veth", "lo", "docker", "podman", "br-", "cni", "tun", "tap"];

/**
 * Egress through the VM (experimental in the stock image too): moves the VM's second interface into the pod's namespace
 * with its address, and makes its gateway the pod's default route. Throws `network` when there is no such interface.
 */
export async function externalNetwork(commands: NetworkCommands, primary: string): Promise<void> {
  const routes = await defaultRoutes(commands);
  const second = await secondInterface(commands, { primary, routes });
  await commands.run(["ip", "link", "set", "dev", second.device, "netns", POD_NETNS]);
  await commands.batchInPod([
    `address add ${second.address} dev ${second.device}`,
    `link set dev ${second.device} up`,
    `route replace default via ${second.gateway} dev ${second.device}`,
  ]);
}

interface SecondInterface {
  readonly device: string;
  readonly address: string;
  readonly gateway: string;
}

/** The first other interface with an address that has a default route, or is in the primary one's subnet. */
async function secondInterface(
  commands: NetworkCommands,
  known: { readonly primary: string; readonly routes: readonly DefaultRoute[] },
): Promise<SecondInterface> {
  const addresses = await addressesByInterface(commands);
  const primaryAddress = addresses.get(known.primary)?.[0];
  const primaryGateway = known.routes.find(({ device }) => device === known.primary)?.gateway ?? "";
  for (const [device, [address]] of addresses) {
    if (device === known.primary || address === undefined) continue;
    if (NEVER.some((prefix) => device.startsWith(prefix))) continue;
    const own = known.routes.find((route) => route.device === device);
    if (own !== undefined) return { device, address, gateway: own.gateway };
    if (primaryAddress !== undefined && maskedPrefix(primaryAddress) === maskedPrefix(address)) {
      return { device, address, gateway: primaryGateway };
    }
  }
  throw networkFailed("the VM has no second interface with an address");
}
