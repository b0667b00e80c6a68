import type { Secret } from "../../src/platform/index.ts";
import { makeCidata } from "./cidata.ts";
import type { KvmNetwork } from "./config.ts";
import { macOf } from "./record.ts";

/** cloud-init's version 2: for images with cloud-init, and ours. The stock image asks DHCP, and is told the same. */
function networkConfig(network: KvmNetwork, addresses: readonly string[]): string {
  const lines = addresses.flatMap((address, index) => [
    `  vm${index}:`,
    "    match:",
    `      macaddress: "${macOf(address)}"`,
    `    addresses: ["${address}/${network.prefix.length}"]`,
    // The first is the way out.
    ...(index === 0
      ? [
          "    routes:",
          '      - to: "0.0.0.0/0"',
          `        via: "${network.gateway}"`,
          "    nameservers:",
          `      addresses: [${network.dns.map((server) => `"${server}"`).join(", ")}]`,
        ]
      : []),
  ]);
  return ["version: 2", "ethernets:", ...lines, ""].join("\n");
}

/** The VM's cidata volume. */
export function cidataOf(
  vm: { readonly id: string; readonly name: string; readonly addresses: readonly string[] },
  userData: Secret,
  network: KvmNetwork,
): Buffer {
  return makeCidata({
    "user-data": userData.reveal(),
    "meta-data": `instance-id: ${vm.id}\nlocal-hostname: ${vm.name}\n`,
    "vendor-data": "",
    "network-config": networkConfig(network, vm.addresses),
  });
}

/** dnsmasq's --dhcp-host lines for a VM. */
export const leasesOf = (addresses: readonly string[]): string =>
  addresses.map((address) => `${macOf(address)},${address},infinite\n`).join("");
