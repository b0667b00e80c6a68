import { describeError, networkFailed } from "../../../src/errors/index.ts";
import type { Clock, Exec, Log } from "../../../src/platform/index.ts";
import type { PodNetworkConfig, PodRoute } from "./apf-config.ts";
import { externalNetwork } from "./external-network.ts";
import {
  type Argv,
  maskedPrefix,
  NetworkCommands,
  onlyAddress,
  POD_NETNS,
  PODNS,
  primaryInterface,
} from "./network-commands.ts";

// The pod's side of the tunnel, as the stock forwarder sets it up: cloud-api-adaptor pkg/podnetwork/podnode.go and
// pkg/podnetwork/tunneler/vxlan.

const TUNNEL_DEVICE = "vxlan0";
/** VXLAN over IPv4 takes 50 bytes of a frame. */
const MAX_POD_MTU = 1450;
const WAIT_MS = 180_000;
const POLL_MS = 1_000;

export interface PodNetworkDeps {
  readonly clock: Clock;
  readonly exec: Exec;
  readonly log: Log;
}

export interface PodNetworkOptions {
  /** "" is the interface of the default route. */
  readonly hostInterface: string;
  readonly signal: AbortSignal;
}

/** The pod's network, set up. */
export interface PodNetwork {
  /** Removes link and rules. What is gone already is no error. */
  tearDown(): Promise<void>;
}

/** Sets the pod's network up. Throws `network`; the VM then is useless. */
export async function setUpPodNetwork(
  deps: PodNetworkDeps,
  config: PodNetworkConfig,
  options: PodNetworkOptions,
): Promise<PodNetwork> {
  const commands = new NetworkCommands(deps.exec, options.signal);
  const waitFor = (what: string, probe: () => Promise<string | undefined>): Promise<string> =>
    waitUntil(deps.clock, options.signal, { what, probe });
  const primary = await waitFor("a default route", () => primaryInterface(commands));
  await waitFor(`an address on ${primary}`, () => onlyAddress(commands, primary));
  const hostInterface = options.hostInterface === "" ? primary : options.hostInterface;
  if (config.dedicated) {
    if (hostInterface === primary) throw networkFailed(`${primary} is not a dedicated interface`);
    await waitFor(`an address on ${hostInterface}`, () => onlyAddress(commands, hostInterface));
  }
  await makePodNamespace(commands);
  await addRules(commands, config);
  await addTunnel(commands, config);
  await commands.batchInPod(routeCommands(config));
  await commands.batchInPod(
    config.neighbours.map((n) => `neigh add ${n.ip} lladdr ${n.mac} dev ${n.device} nud ${n.state}`),
  );
  if (config.externalNetViaPodVm) {
    try {
      await externalNetwork(commands, primary);
    } catch (error) {
      deps.log.warn("no external network for the pod", { error: describeError(error) });
    }
  }
  return { tearDown: () => tearDown(deps, config) };
}

async function tearDown(deps: PodNetworkDeps, config: PodNetworkConfig): Promise<void> {
  const commands = new NetworkCommands(deps.exec);
  const steps = [
    () => commands.inPod("ip", "link", "delete", "dev", config.device),
    () => removeRules(commands, config),
  ];
  for (const step of steps) {
    await step().catch((error: unknown) =>
      deps.log.warn("the pod's network is not wholly gone", { error: describeError(error) }),
    );
  }
}

/** A namespace of that name, made if the image has none, with its loopback up. */
async function makePodNamespace(commands: NetworkCommands): Promise<void> {
  if (!(await commands.succeeds(["nsenter", `--net=${POD_NETNS}`, "--", "true"]))) {
    await commands.run(["ip", "netns", "add", PODNS]);
  }
  await commands.inPod("ip", "link", "set", "dev", "lo", "up");
}

interface Rule {
  readonly base: string;
  readonly chain: string;
  readonly match: readonly string[];
}

const commentOf = (config: PodNetworkConfig): string => `peerpod [vni:${config.vxlanId}]`;

const rulesOf = (config: PodNetworkConfig): readonly Rule[] =>
  [
    { base: "OUTPUT", address: "-d" },
    { base: "PREROUTING", address: "-s" },
  ].map(({ base, address }) => ({
    base,
    chain: `peerpod-${base}`,
    match: [
      ...["-m", "comment", "--comment", commentOf(config)],
      ...[address, config.workerIp, "-p", "udp", "-m", "udp", "--dport", `${config.vxlanPort}`],
      ...["-j", "NOTRACK"],
    ],
  }));

const iptables = (...args: string[]): Argv => ["iptables", "--wait", "--table", "raw", ...args];

/** One listing and one restore: each iptables command by itself costs as much as the whole restore. */
async function addRules(commands: NetworkCommands, config: PodNetworkConfig): Promise<void> {
  const present = (await commands.run(iptables("--list-rules"))).split("\n");
  const lines = rulesOf(config).flatMap(({ base, chain, match }) => {
    const hasChain = present.includes(`-N ${chain}`);
    const comment = `"${commentOf(config)}"`;
    const hasRule = present.some((line) => line.startsWith(`-A ${chain} `) && line.includes(comment));
    const rule = match.map((word) => (word.includes(" ") ? `"${word}"` : word)).join(" ");
    return [
      ...(hasChain ? [] : [`:${chain} - [0:0]`, `-A ${base} -j ${chain}`]),
      ...(hasRule ? [] : [`-A ${chain} ${rule}`]),
    ];
  });
  if (lines.length === 0) return;
  await commands.run(
    ["iptables-restore", "--wait", "--noflush"],
    ["*raw", ...lines, "COMMIT", ""].join("\n"),
  );
}

async function removeRules(commands: NetworkCommands, config: PodNetworkConfig): Promise<void> {
  for (const { base, chain, match } of rulesOf(config)) {
    await commands.run(iptables("--delete", chain, ...match));
    const left = await commands.run(iptables("--list-rules", chain));
    if (left.trim().split("\n").length > 1) continue;
    await commands.run(iptables("--delete", base, "-j", chain));
    await commands.run(iptables("--delete-chain", chain));
  }
}

/** Made in the VM's namespace, where its outer packets stay, then moved to the pod's. */
async function addTunnel(commands: NetworkCommands, config: PodNetworkConfig): Promise<void> {
  const { vxlanId, vxlanPort, workerIp, device } = config;
  const tunnel = ["id", `${vxlanId}`, "remote", workerIp, "dstport", `${vxlanPort}`, "nolearning"];
  await commands.run(["ip", "link", "add", TUNNEL_DEVICE, "type", "vxlan", ...tunnel]);
  await commands.run(["ip", "link", "set", "dev", TUNNEL_DEVICE, "netns", POD_NETNS]);
  const mtu = Math.min(config.mtu, MAX_POD_MTU);
  await commands.batchInPod([
    `link set dev ${TUNNEL_DEVICE} name ${device}`,
    `link set dev ${device} address ${config.mac} mtu ${mtu}`,
    `address add ${config.podIp} dev ${device}`,
    `link set dev ${device} up`,
    ...(config.podIp.endsWith("/32") ? [] : [`route delete ${maskedPrefix(config.podIp)} dev ${device}`]),
  ]);
}

/** Routes on the link come first: a gateway must be reachable when its route is added. */
function routeCommands(config: PodNetworkConfig): readonly string[] {
  const onLink = config.routes.filter((route) => route.gateway === "");
  const viaGateway = config.routes.filter((route) => route.gateway !== "");
  return [...onLink, ...viaGateway].map(routeCommand);
}

function routeCommand(route: PodRoute): string {
  const words = ["route", "add", route.dst];
  if (route.gateway !== "") words.push("via", route.gateway);
  words.push("dev", route.device);
  if (route.protocol !== "") words.push("protocol", route.protocol);
  // The stock forwarder gives routes without a gateway this scope whatever was asked for (netops.go, RouteAdd).
  const scope = route.gateway === "" ? "link" : route.scope;
  if (scope !== "" && scope !== "universe") words.push("scope", scope);
  return words.join(" ");
}

/** The cloud gives routes and addresses by DHCP, some time after the boot. */
async function waitUntil(
  clock: Clock,
  signal: AbortSignal,
  wanted: { readonly what: string; readonly probe: () => Promise<string | undefined> },
): Promise<string> {
  const deadlineMs = clock.monotonicMs() + WAIT_MS;
  for (;;) {
    const found = await wanted.probe();
    if (found !== undefined) return found;
    if (clock.monotonicMs() > deadlineMs)
      throw networkFailed(`the VM did not get ${wanted.what} in ${WAIT_MS} ms`);
    await clock.sleep(POLL_MS, signal);
  }
}
