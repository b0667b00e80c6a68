import { CaaError, networkFailed } from "../errors/index.ts";
import type { Exec } from "../platform/index.ts";
import { runNet } from "./namespace.ts";
import type { TunnelPlan, TunnelRule } from "./plan.ts";

/** How long iptables waits for another program that holds its lock, seconds. */
const LOCK_WAIT_S = "30";

/** A change is refused when somebody else changed the chains after we looked; then we look again. */
const MAX_ATTEMPTS = 10;

/** Table raw, as `iptables -S` prints it. */
interface RawTable {
  /** Names of the chains that were made by somebody. */
  readonly chains: ReadonlySet<string>;
  readonly rules: readonly string[];
}

/**
 * Adds the plan's rules, their chains and the jumps to them as far as they are missing: one read and at most one atomic change, safe
 * against other programs and tunnels that do the same at the same time. Throws `network`.
 */
export async function addRules(exec: Exec, plan: TunnelPlan, signal: AbortSignal): Promise<void> {
  await change(exec, plan, signal, (table) => plan.rules.flatMap((rule) => linesToAdd(table, plan, rule)));
}

/** Removes the plan's rules, and chains that are empty then, in the same way. Removing what is gone succeeds. */
export async function removeRules(exec: Exec, plan: TunnelPlan, signal: AbortSignal): Promise<void> {
  const lines = (table: RawTable): string[] => plan.rules.flatMap((rule) => linesToRemove(table, plan, rule));
  // Of two tunnels that end at once neither sees an empty chain before its own change, so the last one must look after it.
  while (await change(exec, plan, signal, lines));
}

/** The plan's rules that exist now, as iptables prints them. */
export async function findRules(exec: Exec, plan: TunnelPlan, signal: AbortSignal): Promise<string[]> {
  const table = await readTable(exec, signal);
  return plan.rules.flatMap((rule) => matching(table, plan, rule));
}

/** Resolves to whether there was anything to change. */
/** Looks and makes the change that is wanted then; false if none is. */
async function change(
  exec: Exec,
  plan: TunnelPlan,
  signal: AbortSignal,
  lines: (table: RawTable) => string[],
): Promise<boolean> {
  let failure: unknown;
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const wanted = lines(await readTable(exec, signal));
    if (wanted.length === 0) return false;
    try {
      await runNet(
        exec,
        {
          argv: ["iptables-restore", "-w", LOCK_WAIT_S, "--noflush"],
          input: ["*raw", ...wanted, "COMMIT", ""].join("\n"),
          purpose: `change the iptables rules of VXLAN ${plan.vxlanId}`,
        },
        signal,
      );
      return true;
    } catch (error) {
      signal.throwIfAborted();
      failure = error;
    }
  }
  throw failure instanceof CaaError
    ? failure
    : networkFailed("cannot change iptables rules", { cause: failure });
}

async function readTable(exec: Exec, signal: AbortSignal): Promise<RawTable> {
  const argv = ["iptables", "-w", LOCK_WAIT_S, "-t", "raw", "-S"] as const;
  const output = await runNet(exec, { argv, purpose: "read the iptables rules of table raw" }, signal);
  const lines = output.split("\n");
  return {
    chains: new Set(
      lines.filter((line) => line.startsWith("-N ")).map((line) => line.slice("-N ".length).trim()),
    ),
    rules: lines.filter((line) => line.startsWith("-A ")),
  };
}

function linesToAdd(table: RawTable, plan: TunnelPlan, rule: TunnelRule): string[] {
  const jump = jumpTo(rule);
  return [
    ...(table.chains.has(rule.chain) ? [] : [`-N ${rule.chain}`]),
    ...(table.rules.some((line) => line.trim() === `-A ${jump}`) ? [] : [`-A ${jump}`]),
    ...(matching(table, plan, rule).length > 0 ? [] : [`-A ${specification(plan, rule)}`]),
  ];
}

function linesToRemove(table: RawTable, plan: TunnelPlan, rule: TunnelRule): string[] {
  const ours = matching(table, plan, rule);
  const inChain = table.rules.filter((line) => line.startsWith(`-A ${rule.chain} `));
  const removals = ours.map(() => `-D ${specification(plan, rule)}`);
  // A chain that was empty before is the rest of an interrupted change, so it goes too.
  if (!table.chains.has(rule.chain) || inChain.length > ours.length) return removals;
  const jumps = table.rules.filter((line) => line.trim() === `-A ${jumpTo(rule)}`);
  return [...removals, ...jumps.map(() => `-D ${jumpTo(rule)}`), `-X ${rule.chain}`];
}

const jumpTo = (rule: TunnelRule): string => `${rule.base} -j ${rule.chain}`;

const addressFlag = (rule: TunnelRule): string => (rule.match === "destination" ? "-d" : "-s");

/** Go's rule (pkg/podnetwork/tunneler/vxlan iptables.go), so that either program removes what the other made. */
function specification(plan: TunnelPlan, rule: TunnelRule): string {
  const from = `${addressFlag(rule)} ${plan.remoteAddress}`;
  const port = `-p udp -m udp --dport ${plan.vxlanPort}`;
  return `${rule.chain} -m comment --comment "${rule.comment}" ${from} ${port} -j NOTRACK`;
}

/** By comment, address and port: the order and the target's spelling differ between versions of iptables. */
function matching(table: RawTable, plan: TunnelPlan, rule: TunnelRule): string[] {
  const parts = [
    `-A ${rule.chain} `,
    ` --comment "${rule.comment}" `,
    ` ${addressFlag(rule)} ${plan.remoteAddress}/32 `,
    ` --dport ${plan.vxlanPort} `,
  ];
  return table.rules.filter((line) => parts.every((part) => line.includes(part)));
}
