import { CaaError, describeError, networkFailed } from "../errors/index.ts";
import type { Exec, Log } from "../platform/index.ts";
import {
  batchAnswers,
  type Filter,
  type Link,
  parseFilters,
  parseLinks,
  parseQdiscs,
} from "./iproute-json.ts";
import { checkNamespace, inNamespace, namespaceExists, runNet } from "./namespace.ts";
import type { TunnelPlan } from "./plan.ts";
import { addRules, findRules, removeRules } from "./rules.ts";

/** The kernel effects, in their order. */
export const TUNNEL_STEPS = [
  "add-rules",
  "add-device",
  "add-redirects",
  "remove-redirects",
  "remove-device",
  "remove-rules",
] as const;
export type TunnelStep = (typeof TUNNEL_STEPS)[number];

export interface TunnelDeps {
  readonly exec: Exec;
  readonly log: Log;
  /** Told of each step; what it throws ends the work there. For tests that stop in between. */
  readonly onStep?: (step: TunnelStep, phase: "before" | "after") => void | Promise<void>;
}

/**
 * Makes the node's end of a pod's tunnel as the Go adaptor does (pkg/podnetwork/tunneler/vxlan): NOTRACK rules, a VXLAN device in the
 * pod's namespace whose packets travel in the node's, and redirection between it and the pod's interface, whose own address then
 * answers no more. Looks before each step, so it may be repeated after a crash anywhere. Throws `network` or `invalid-request`;
 * the caller then undoes what was done with `tearDownTunnel`.
 */
export async function setUpTunnel(deps: TunnelDeps, plan: TunnelPlan, signal: AbortSignal): Promise<void> {
  await checkNamespace(plan.netns);
  await allAtOnce([addToNode(deps, plan, signal), addToNamespace(deps, plan, signal)], signal);
}

const addToNode = (deps: TunnelDeps, plan: TunnelPlan, signal: AbortSignal): Promise<void> =>
  step(deps, "add-rules", () => addRules(deps.exec, plan, signal));

async function addToNamespace(deps: TunnelDeps, plan: TunnelPlan, signal: AbortSignal): Promise<void> {
  const device = await step(deps, "add-device", () => addDevice(deps.exec, plan, signal));
  await step(deps, "add-redirects", () => addRedirects(deps.exec, plan, device, signal));
}

/**
 * Removes what `setUpTunnel` made, or as much of it as there is, and nothing else: a device of another id, port or remote stays, and
 * so do redirections with it. Does all it can before it throws `network`. Repeating it, and a namespace that is gone, are fine.
 */
export async function tearDownTunnel(deps: TunnelDeps, plan: TunnelPlan, signal: AbortSignal): Promise<void> {
  await allAtOnce([removeFromNamespace(deps, plan, signal), removeFromNode(deps, plan, signal)], signal);
}

/** Waits for all of them, also for those that go on when one has failed: what comes next must not meet them. */
async function allAtOnce(parts: readonly Promise<void>[], signal: AbortSignal): Promise<void> {
  const outcomes = await Promise.allSettled(parts);
  const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
  if (failures.length === 0) return;
  signal.throwIfAborted();
  const [failure] = failures;
  if (failures.length === 1 && failure instanceof Error) throw failure;
  throw networkFailed(failures.map(describeError).join("; "), { cause: new AggregateError(failures) });
}

/** What there is of a plan now, for people; empty when nothing is left. Changes nothing. */
export async function tunnelResidue(
  deps: Pick<TunnelDeps, "exec">,
  plan: TunnelPlan,
  signal: AbortSignal,
): Promise<string[]> {
  const { exec } = deps;
  const rules = (await findRules(exec, plan, signal)).map((rule) => `iptables raw: ${rule}`);
  if (!(await namespaceExists(plan.netns))) return rules;
  const links = await readLinks(exec, plan, signal);
  const device = links.find((link) => isPlanned(link, plan));
  const present = [plan.podInterface, ...(device ? [plan.device] : [])].filter((name) =>
    links.some((link) => link.ifname === name),
  );
  const ingress = await readIngress(exec, plan, present, signal);
  const redirects = present
    .filter((_, index) => ingress[index]?.exists)
    .map((name) => `ingress qdisc on ${name}`);
  return [...rules, ...(device ? [`device ${plan.device} in ${plan.netns}`] : []), ...redirects];
}

async function step<T>(deps: TunnelDeps, name: TunnelStep, work: () => Promise<T>): Promise<T> {
  await deps.onStep?.(name, "before");
  const result = await work();
  deps.log.debug("pod network step done", { step: name });
  await deps.onStep?.(name, "after");
  return result;
}

/** Whether the device was made just now, so that nothing can be on it yet. */
type DeviceState = "made" | "found";

async function addDevice(exec: Exec, plan: TunnelPlan, signal: AbortSignal): Promise<DeviceState> {
  // Made in the pod's namespace and up at once, by one request: its packets still travel in the namespace of this process. Moving it
  // there afterwards, as Go does, has the same result with names that collide and a rest that a crash leaves on the node.
  const where = ["name", plan.device, "up", "netns", plan.netns];
  const peer = ["remote", plan.remoteAddress, "dstport", `${plan.vxlanPort}`, "nolearning"];
  const command = {
    argv: ["ip", "link", "add", ...where, "type", "vxlan", "id", `${plan.vxlanId}`, ...peer],
    purpose: `add VXLAN ${plan.vxlanId} to ${plan.remoteAddress}:${plan.vxlanPort} in ${plan.netns}`,
  } as const;
  try {
    await runNet(exec, command, signal);
    return "made";
  } catch (error) {
    signal.throwIfAborted();
    const existing = (await readLinks(exec, plan, signal)).find((link) => link.ifname === plan.device);
    if (!existing) throw error;
    if (isPlanned(existing, plan)) return "found";
    throw networkFailed(
      `${plan.netns} already has a device ${plan.device} that is not this tunnel's (VXLAN ${plan.vxlanId} to ${plan.remoteAddress}:${plan.vxlanPort}); remove it`,
    );
  }
}

async function addRedirects(
  exec: Exec,
  plan: TunnelPlan,
  device: DeviceState,
  signal: AbortSignal,
): Promise<void> {
  const directions = [
    { from: plan.podInterface, to: plan.device },
    { from: plan.device, to: plan.podInterface },
  ];
  const nothingYet: Ingress = { exists: false, filters: [] };
  if (device === "made") {
    try {
      await runBatch(
        exec,
        plan,
        directions.flatMap((direction) => linesToRedirect(direction, nothingYet)),
        signal,
      );
      return;
    } catch (error) {
      signal.throwIfAborted();
      // The pod's interface may have some of it; what else was wrong shows again below.
      if (!(error instanceof CaaError)) throw error;
    }
  }
  const found = await readIngress(
    exec,
    plan,
    directions.map(({ from }) => from),
    signal,
  );
  const lines = directions.flatMap((direction, index) =>
    linesToRedirect(direction, found[index] ?? nothingYet),
  );
  await runBatch(exec, plan, lines, signal);
}

function linesToRedirect({ from, to }: { from: string; to: string }, ingress: Ingress): string[] {
  const action = `action mirred egress redirect dev ${to}`;
  return [
    ...(ingress.exists ? [] : [`qdisc add dev ${from} ingress`]),
    ...(ingress.filters.some((filter) => redirectsTo(filter, to))
      ? []
      : [`filter add dev ${from} parent ffff: protocol all u32 match u32 0 0 ${action}`]),
  ];
}

async function runBatch(
  exec: Exec,
  plan: TunnelPlan,
  lines: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  if (lines.length === 0) return;
  const argv = inNamespace(plan.netns, "tc", "-batch", "-");
  const purpose = `change the redirections between ${plan.podInterface} and ${plan.device} in ${plan.netns}`;
  await runNet(exec, { argv, input: `${lines.join("\n")}\n`, purpose }, signal);
}

async function removeFromNamespace(deps: TunnelDeps, plan: TunnelPlan, signal: AbortSignal): Promise<void> {
  if (!(await namespaceExists(plan.netns))) return;
  try {
    const { device, ingress } = await readNamespace(deps.exec, plan, signal);
    if (device && !isPlanned(device, plan)) {
      deps.log.warn(`${plan.device} in ${plan.netns} is not this tunnel's and is left alone`);
      return;
    }
    const redirects = step(deps, "remove-redirects", () => removeRedirect(deps.exec, plan, ingress, signal));
    const removal = step(deps, "remove-device", () => removeDevice(deps.exec, plan, device, signal));
    await allAtOnce([redirects, removal], signal);
  } catch (error) {
    // The runtime may remove the namespace, and with it all that we look for, at any time.
    if (error instanceof CaaError && !(await namespaceExists(plan.netns))) return;
    throw error;
  }
}

const removeFromNode = (deps: TunnelDeps, plan: TunnelPlan, signal: AbortSignal): Promise<void> =>
  step(deps, "remove-rules", () => removeRules(deps.exec, plan, signal));

/** The tunnel's device, and the ingress side of the pod's own interface, as far as they are there. */
async function readNamespace(
  exec: Exec,
  plan: TunnelPlan,
  signal: AbortSignal,
): Promise<{ readonly device: Link | undefined; readonly ingress: Ingress | undefined }> {
  const [links, ingress] = await Promise.allSettled([
    readLinks(exec, plan, signal),
    readIngress(exec, plan, [plan.podInterface], signal),
  ]);
  if (links.status === "rejected") throw links.reason;
  const has = (name: string): Link | undefined => links.value.find((link) => link.ifname === name);
  // tc fails for an interface that is not there.
  if (ingress.status === "rejected" && has(plan.podInterface) !== undefined) throw ingress.reason;
  return {
    device: has(plan.device),
    ingress: ingress.status === "fulfilled" ? ingress.value[0] : undefined,
  };
}

/** From the pod's own interface; what is on the VXLAN device goes with it. Filters that are not ours stay, and the qdisc with them. */
async function removeRedirect(
  exec: Exec,
  plan: TunnelPlan,
  ingress: Ingress | undefined,
  signal: AbortSignal,
): Promise<void> {
  const dev = plan.podInterface;
  if (!ingress?.exists) return;
  const acting = ingress.filters.filter(isFilter);
  const ours = acting.filter(
    (filter) => redirectsTo(filter, plan.device) || redirectsTo(filter, DEVICE_IS_GONE),
  );
  const lines =
    ours.length === acting.length
      ? [`qdisc del dev ${dev} ingress`]
      : ours.map(
          (filter) =>
            `filter del dev ${dev} parent ffff: protocol all pref ${filter.pref} handle ${filter.options?.fh} u32`,
        );
  await runBatch(exec, plan, lines, signal);
}

async function removeDevice(
  exec: Exec,
  plan: TunnelPlan,
  device: Link | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (!device) return;
  const argv = inNamespace(plan.netns, "ip", "link", "delete", "dev", plan.device);
  await runNet(exec, { argv, purpose: `delete ${plan.device} in ${plan.netns}` }, signal);
}

async function readLinks(exec: Exec, plan: TunnelPlan, signal: AbortSignal): Promise<readonly Link[]> {
  const argv = inNamespace(plan.netns, "ip", "-json", "-details", "link", "show");
  return parseLinks(await runNet(exec, { argv, purpose: `read the interfaces of ${plan.netns}` }, signal));
}

function isPlanned(link: Link, plan: TunnelPlan): boolean {
  const { info_kind: kind, info_data: data } = link.linkinfo;
  return (
    link.ifname === plan.device &&
    kind === "vxlan" &&
    data.id === plan.vxlanId &&
    data.port === plan.vxlanPort &&
    data.remote === plan.remoteAddress
  );
}

interface Ingress {
  /** Whether the interface has an ingress qdisc. */
  readonly exists: boolean;
  readonly filters: readonly Filter[];
}

/** The ingress side of each of `devices`, which must exist, in their order. */
async function readIngress(
  exec: Exec,
  plan: TunnelPlan,
  devices: readonly string[],
  signal: AbortSignal,
): Promise<readonly Ingress[]> {
  if (devices.length === 0) return [];
  const argv = inNamespace(plan.netns, "tc", "-json", "-batch", "-");
  const input = devices.map((dev) => `qdisc show dev ${dev}\nfilter show dev ${dev} parent ffff:\n`).join("");
  const purpose = `read the filters of ${devices.join(" and ")} in ${plan.netns}`;
  const answers = batchAnswers(
    await runNet(exec, { argv, input, purpose }, signal),
    devices.length * 2,
    "tc",
  );
  return devices.map((_, index) => ({
    exists: parseQdiscs(answers[index * 2] ?? "").some((qdisc) => qdisc.kind === "ingress"),
    filters: parseFilters(answers[index * 2 + 1] ?? ""),
  }));
}

/** Not one of the rows that tc prints for a list or a table of filters. */
const isFilter = (filter: Filter): boolean =>
  filter.options !== undefined && !(filter.kind === "u32" && filter.options.fh.endsWith(":"));

/** What tc prints as the target of a redirection whose device was deleted. */
const DEVICE_IS_GONE = "*";

const redirectsTo = (filter: Filter, dev: string): boolean =>
  filter.kind === "u32" &&
  filter.options?.actions.some(
    (action) =>
      action.kind === "mirred" &&
      action.mirred_action === "redirect" &&
      action.direction === "egress" &&
      action.to_dev === dev,
  ) === true;
