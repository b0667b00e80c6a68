import { invalidConfig, invalidRequest, networkFailed } from "../errors/index.ts";
import type { Exec } from "../platform/index.ts";
import {
  batchAnswers,
  type LinkWithAddresses,
  type Neighbour,
  parseAddresses,
  parseNeighbours,
  parseRoutes,
  type Route,
} from "./iproute-json.ts";
import { comparePrefixes, formatPrefix, isIpv4, network, type Prefix, parsePrefix } from "./ipv4.ts";
import { checkNamespace, inNamespace, isPlainDeviceName, runNet } from "./namespace.ts";
import { type PrimaryInterface, primaryInterface } from "./primary-interface.ts";

export interface PodNetworkConfig {
  /** `-host-interface`: where the tunnel leaves the node; "" means the node's primary interface. */
  readonly hostInterface: string;
  readonly vxlanPort: number;
  readonly externalNetworkViaPodVm: boolean;
  /** POD_SUBNET_CIDRS: what stays on the tunnel when the VM has an external network of its own. */
  readonly podSubnetCidrs: readonly string[];
  /** Only `vxlan` exists. */
  readonly tunnelType: string;
}

export interface PodRouteFact {
  /** `10.0.0.0/8`; the default route is `0.0.0.0/0`. */
  readonly dst: string;
  /** "" when there is none. */
  readonly gateway: string;
  /** Absent for the routes of POD_SUBNET_CIDRS. */
  readonly protocol?: "static" | "boot" | "dhcp" | "kernel";
  /** Absent: universe. */
  readonly scope?: "site" | "link" | "host" | "nowhere";
}

/** What was read of one pod's network and of the node's. Plain data. */
export interface PodNetworkFacts {
  readonly netns: string;
  readonly podInterface: string;
  /** With its prefix length: `10.88.0.14/16`. */
  readonly podAddress: string;
  readonly hardwareAddress: string;
  readonly mtu: number;
  readonly routes: readonly PodRouteFact[];
  /** Permanent entries. */
  readonly neighbours: readonly { readonly address: string; readonly hardwareAddress: string }[];
  /** With its prefix length. */
  readonly workerNodeAddress: string;
  readonly hostInterface: string;
  /** The tunnel has interfaces of its own on both sides: the VM's second address is the tunnel's end. */
  readonly dedicated: boolean;
  readonly vxlanPort: number;
  readonly tunnelType: string;
  readonly externalNetworkViaPodVm: boolean;
}

/** Where the tunnel left the node the last time, "" before. Only that interface is asked for then, until it is another. */
export interface HostHint {
  hostInterface: string;
}

export interface InspectDeps {
  readonly exec: Exec;
  readonly hint?: HostHint;
}

export interface InspectInput {
  readonly netns: string;
  readonly config: PodNetworkConfig;
}

/**
 * Reads a pod's addresses, routes and neighbours, and the node's tunnel address, by the Go adaptor's rules (pkg/podnetwork Inspect).
 * Throws `invalid-request` for a pod that cannot be served (no namespace, IPv6 only, several IPv4 addresses, no default route),
 * `invalid-config` for settings that do not fit the node, `network` when reading fails.
 */
export async function inspectPodNetwork(
  deps: InspectDeps,
  input: InspectInput,
  signal: AbortSignal,
): Promise<PodNetworkFacts> {
  const { netns, config } = input;
  if (config.tunnelType !== "vxlan") {
    throw invalidConfig(`TUNNEL_TYPE=${config.tunnelType} is not known; the only type is vxlan`);
  }
  await checkNamespace(netns);
  const [tunnelEnd, pod] = await Promise.all([
    readHostEnd(deps, config.hostInterface, signal),
    readPod(deps.exec, netns, signal),
  ]);
  const { primary, link, address } = podEnd(pod, netns);
  return {
    netns,
    podInterface: primary.name,
    podAddress: formatPrefix(address),
    hardwareAddress: link.address,
    mtu: link.mtu,
    routes: [...podRoutes(pod.routes, primary.name), ...subnetRoutes(config.podSubnetCidrs, primary.gateway)],
    neighbours: pod.neighbours
      .filter(
        (entry) =>
          entry.dev === primary.name &&
          entry.state.includes("PERMANENT") &&
          isIpv4(entry.dst) &&
          entry.lladdr !== "",
      )
      .map((entry) => ({ address: entry.dst, hardwareAddress: entry.lladdr })),
    ...tunnelEnd,
    vxlanPort: config.vxlanPort,
    tunnelType: config.tunnelType,
    externalNetworkViaPodVm: config.externalNetworkViaPodVm,
  };
}

interface Readings {
  readonly links: readonly LinkWithAddresses[];
  readonly routes: readonly Route[];
}

interface PodReadings extends Readings {
  readonly neighbours: readonly Neighbour[];
}

type HostEnd = Pick<PodNetworkFacts, "hostInterface" | "workerNodeAddress" | "dedicated">;

/** A node has an interface, and often a route, for each of its pods: no more of them is printed than is needed. */
async function readHostEnd(
  { exec, hint }: InspectDeps,
  configured: string,
  signal: AbortSignal,
): Promise<HostEnd> {
  if (hint !== undefined && isPlainDeviceName(hint.hostInterface)) {
    try {
      const end = hostEnd(await readHost(exec, `address show dev ${hint.hostInterface}`, signal), configured);
      if (end.hostInterface === hint.hostInterface) return end;
    } catch {
      // The interface is gone, or is not the right one any more: what else is wrong shows again below.
      signal.throwIfAborted();
    }
  }
  const end = hostEnd(await readHost(exec, "address show", signal), configured);
  if (hint !== undefined) hint.hostInterface = end.hostInterface;
  return end;
}

async function readHost(exec: Exec, addresses: string, signal: AbortSignal): Promise<Readings> {
  const output = await runNet(
    exec,
    {
      argv: ["ip", "-json", "-4", "-batch", "-"],
      input: `${addresses}\nroute show table main default\n`,
      purpose: "read the node's network",
    },
    signal,
  );
  const [links = "", routes = ""] = batchAnswers(output, 2, "ip");
  return { links: parseAddresses(links), routes: parseRoutes(routes) };
}

async function readPod(exec: Exec, netns: string, signal: AbortSignal): Promise<PodReadings> {
  const output = await runNet(
    exec,
    {
      argv: inNamespace(netns, "ip", "-json", "-batch", "-"),
      input: "address show\nroute show table main\nneighbour show nud permanent\n",
      purpose: `read the pod's network in ${netns}`,
    },
    signal,
  );
  const [links = "", routes = "", neighbours = ""] = batchAnswers(output, 3, "ip");
  return {
    links: parseAddresses(links),
    routes: parseRoutes(routes),
    neighbours: parseNeighbours(neighbours),
  };
}

function hostEnd(host: Readings, configured: string): HostEnd {
  const primary = primaryInterface(host.routes)?.name;
  const name = configured === "" ? primary : configured;
  if (name === undefined) {
    throw networkFailed(
      "the node has no IPv4 default route, so its interface for the tunnel is not known; set -host-interface",
    );
  }
  const link = host.links.find((candidate) => candidate.ifname === name);
  const [address] = link === undefined ? [] : ipv4Addresses(link);
  if (address === undefined) {
    const names = host.links.map((candidate) => candidate.ifname).join(", ");
    throw invalidConfig(
      `-host-interface ${name} does not exist on this node or has no IPv4 address for the tunnel; those that have one are ${names}`,
    );
  }
  return {
    hostInterface: name,
    workerNodeAddress: formatPrefix(address),
    dedicated: primary !== undefined && name !== primary,
  };
}

function podEnd(
  pod: Readings,
  netns: string,
): { primary: PrimaryInterface; link: LinkWithAddresses; address: Prefix } {
  const primary = primaryInterface(pod.routes);
  const link = pod.links.find((candidate) => candidate.ifname === primary?.name);
  if (!primary || !link) {
    const ipv4 = pod.links.some(
      (candidate) => candidate.ifname !== "lo" && ipv4Addresses(candidate).length > 0,
    );
    const problem = ipv4
      ? "has no IPv4 default route, so its primary interface is not known; the cluster's CNI must set one"
      : `has no IPv4 address${hasGlobalIpv6(pod.links) ? ", only IPv6" : ""}; peer pods need IPv4 (single or dual stack)`;
    throw invalidRequest(`the pod's network namespace ${netns} ${problem}`);
  }
  if (!isPlainDeviceName(link.ifname)) {
    throw invalidRequest(
      `the pod's interface has the unusual name ${JSON.stringify(link.ifname)}; rename it in the CNI's configuration`,
    );
  }
  const addresses = ipv4Addresses(link);
  const [address, ...others] = addresses;
  if (!address) {
    throw invalidRequest(
      `the pod's interface ${link.ifname} in ${netns} has a default route and no IPv4 address; peer pods need one`,
    );
  }
  if (others.length > 0) {
    throw invalidRequest(
      `the pod's interface ${link.ifname} in ${netns} has ${addresses.length} IPv4 addresses (${addresses.map(formatPrefix).join(", ")}); peer pods take exactly one`,
    );
  }
  return { primary, link, address };
}

const ipv4Addresses = (link: LinkWithAddresses): Prefix[] =>
  link.addr_info
    .filter((info) => info.family === "inet")
    .map((info) => ({ address: info.local, bits: info.prefixlen }));

const hasGlobalIpv6 = (links: readonly LinkWithAddresses[]): boolean =>
  links.some((link) => link.addr_info.some((info) => info.family === "inet6" && info.scope === "global"));

const PROTOCOLS = ["static", "boot", "dhcp", "kernel"] as const;
const SCOPES = ["site", "link", "host", "nowhere"] as const;

/**
 * The routes of the pod's own interface. Go sends those of all interfaces, but the VM has only this one, and its forwarder does not
 * start when a route names another. Of a multipath route the first hop on the interface is taken: apf.json cannot say more.
 */
function podRoutes(routes: readonly Route[], podInterface: string): PodRouteFact[] {
  const found: { fact: PodRouteFact; prefix: Prefix; metric: number }[] = [];
  for (const route of routes) {
    const hop = [{ dev: route.dev, gateway: route.gateway }, ...route.nexthops].find(
      ({ dev }) => dev === podInterface,
    );
    const protocol = PROTOCOLS.find((name) => name === route.protocol);
    const prefix = parsePrefix(route.dst);
    if (!hop || !protocol || !prefix || route.type !== "unicast") continue;
    const scope = SCOPES.find((name) => name === route.scope);
    const fact = { dst: formatPrefix(prefix), gateway: hop.gateway, protocol, ...(scope && { scope }) };
    found.push({ fact, prefix, metric: route.metric });
  }
  return found
    .toSorted((a, b) => comparePrefixes(a.prefix, b.prefix) || a.metric - b.metric)
    .map(({ fact }) => fact);
}

function subnetRoutes(cidrs: readonly string[], gateway: string): PodRouteFact[] {
  return cidrs.map((cidr) => {
    const prefix = cidr.includes("/") ? parsePrefix(cidr) : undefined;
    if (!prefix)
      throw invalidConfig(
        `POD_SUBNET_CIDRS: ${JSON.stringify(cidr)} is not an IPv4 prefix such as 10.244.0.0/16`,
      );
    return { dst: formatPrefix(network(prefix)), gateway };
  });
}
