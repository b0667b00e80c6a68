import type { TunnelPlan, TunnelRule } from "./plan.ts";

/**
 * iptables' table raw as it was read, and as it will be after the changes asked of it: `lines` are those changes, for
 * iptables-restore.
 */
export class RawTable {
  readonly lines: string[] = [];
  /** Lines that make iptables-restore refuse all of it where the table has lost a jump that is still needed. */
  readonly checks: Set<string> = new Set();
  /**
   * Whether only who has just looked can know that these changes are all that it takes: a chain goes because nothing is left in it, or a
   * rule is taken to be there, or to be gone, with no change that iptables would refuse if that were wrong.
   */
  needsLook = false;
  readonly #chains: Set<string>;
  /** `-A` lines, as `iptables -S` prints them. */
  #rules: readonly string[];

  private constructor(chains: Iterable<string>, rules: readonly string[]) {
    this.#chains = new Set(chains);
    this.#rules = rules;
  }

  /** `listing` is what `iptables -t raw -S` printed. */
  static read(listing: string): RawTable {
    const lines = listing.split("\n").map((line) => line.trim());
    const chains = lines.filter((line) => line.startsWith("-N ")).map((line) => line.slice("-N ".length));
    return new RawTable(
      chains,
      lines.filter((line) => line.startsWith("-A ")),
    );
  }

  /** As it is when these changes have been made. */
  changed(): RawTable {
    return new RawTable(this.#chains, this.#rules);
  }

  /** Adds the plan's rules, their chains and the jumps to them as far as they are missing. */
  add(plan: TunnelPlan): void {
    for (const rule of plan.rules) {
      if (!this.#chains.has(rule.chain)) this.#create(rule.chain);
      if (this.#rules.includes(`-A ${jumpTo(rule)}`)) this.checks.add(`-C ${jumpTo(rule)}`);
      else this.#append(jumpTo(rule));
      if (this.#matching(plan, rule).length === 0) this.#append(specification(plan, rule));
      else this.needsLook = true;
    }
  }

  /** Removes the plan's rules, and their chains with the jumps to them if nothing is in them then. */
  remove(plan: TunnelPlan): void {
    for (const rule of plan.rules) {
      const ours = this.#matching(plan, rule);
      if (ours.length === 0) this.needsLook = true;
      this.lines.push(...ours.map(() => `-D ${specification(plan, rule)}`));
      this.#rules = this.#rules.filter((line) => !ours.includes(line));
      // A chain that was empty before is the rest of an interrupted change, so it goes too.
      const empty = !this.#rules.some((line) => line.startsWith(`-A ${rule.chain} `));
      if (empty && this.#chains.has(rule.chain)) this.#removeChain(rule);
    }
  }

  /** The plan's rules that are in the table. */
  find(plan: TunnelPlan): string[] {
    return plan.rules.flatMap((rule) => this.#matching(plan, rule));
  }

  #create(chain: string): void {
    this.#chains.add(chain);
    this.lines.push(`-N ${chain}`);
  }

  #append(rule: string): void {
    this.#rules = [...this.#rules, `-A ${rule}`];
    this.lines.push(`-A ${rule}`);
  }

  #removeChain(rule: TunnelRule): void {
    this.needsLook = true;
    const jumps = this.#rules.filter((line) => line === `-A ${jumpTo(rule)}`);
    this.lines.push(...jumps.map(() => `-D ${jumpTo(rule)}`), `-X ${rule.chain}`);
    this.#rules = this.#rules.filter((line) => !jumps.includes(line));
    this.#chains.delete(rule.chain);
  }

  /** By comment, address and port: the order and the target's spelling differ between versions of iptables. */
  #matching(plan: TunnelPlan, rule: TunnelRule): string[] {
    const parts = [
      `-A ${rule.chain} `,
      ` --comment "${rule.comment}" `,
      ` ${vmAddress(plan, rule)} `,
      ` --dport ${plan.vxlanPort} `,
    ];
    return this.#rules.filter((line) => parts.every((part) => line.includes(part)));
  }
}

const jumpTo = (rule: TunnelRule): string => `${rule.base} -j ${rule.chain}`;

const vmAddress = (plan: TunnelPlan, rule: TunnelRule): string =>
  `${rule.match === "destination" ? "-d" : "-s"} ${plan.remoteAddress}/32`;

/** Go's rule (pkg/podnetwork/tunneler/vxlan iptables.go), so that either program removes what the other made. */
const specification = (plan: TunnelPlan, rule: TunnelRule): string =>
  `${rule.chain} -m comment --comment "${rule.comment}" ${vmAddress(plan, rule)} -p udp -m udp --dport ${plan.vxlanPort} -j NOTRACK`;
