import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { NO_NAMESPACES } from "./test-namespaces.ts";
import { COMPLETE_TUNNEL, TunnelBench } from "./test-tunnels.ts";

const has = (tool: string): boolean => spawnSync(tool, ["--version"]).status === 0;

describe.each(["iptables-nft", "iptables-legacy"])("with %s", (variant) => {
  const skip = NO_NAMESPACES !== undefined || !has(variant);

  test.skipIf(skip)(
    `set-up makes chains, jumps and rules, and teardown removes them (needs root and ${variant})`,
    async () => {
      await using bench = await TunnelBench.create(variant);
      await using pod = await bench.newPod();
      const before = await bench.nodeState();
      const plan = bench.planFor(pod);
      await bench.setUp(plan);
      expect(
        (await bench.rules())
          .split("\n")
          .filter((line) => !line.startsWith("-P"))
          .toSorted(),
      ).toEqual([
        "",
        "-A OUTPUT -j peerpod-OUTPUT",
        "-A PREROUTING -j peerpod-PREROUTING",
        expect.stringMatching(
          /^-A peerpod-OUTPUT -d 192.0.2.10\/32 .*"peerpod \[vni:555000\]".* --dport 4789 -j /,
        ),
        expect.stringMatching(
          /^-A peerpod-PREROUTING -s 192.0.2.10\/32 .*"peerpod \[vni:555000\]".* --dport 4789 -j /,
        ),
        "-N peerpod-OUTPUT",
        "-N peerpod-PREROUTING",
      ]);
      await bench.tearDown(plan);
      expect(await bench.nodeState()).toBe(before);
    },
  );

  test.skipIf(skip)(
    `the Go adaptor's rules and ours are the same to it (needs root and ${variant})`,
    async () => {
      await using bench = await TunnelBench.create(variant);
      await using pod = await bench.newPod();
      const before = await bench.nodeState();
      const plan = bench.planFor(pod);
      const goRule = (chain: string, flag: string): string[] =>
        `${chain} -m comment --comment X ${flag} 192.0.2.10 -p udp -m udp --dport 4789 -j NOTRACK`
          .split(" ")
          .map((word) => (word === "X" ? "peerpod [vni:555000]" : word));
      const rules = [goRule("peerpod-OUTPUT", "-d"), goRule("peerpod-PREROUTING", "-s")];
      await bench.setUp(plan);
      for (const rule of rules) await bench.rules("-D", ...rule);
      expect((await bench.residue(plan)).filter((text) => text.startsWith("iptables"))).toEqual([]);
      for (const rule of rules) await bench.rules("-A", ...rule);
      await bench.setUp(plan);
      expect(await bench.residue(plan)).toHaveLength(COMPLETE_TUNNEL);
      await bench.tearDown(plan);
      expect(await bench.nodeState()).toBe(before);
    },
  );

  test.skipIf(skip)(`a rule of somebody else stays, with its chain (needs root and ${variant})`, async () => {
    await using bench = await TunnelBench.create(variant);
    await using pod = await bench.newPod();
    const before = await bench.nodeState();
    const plan = bench.planFor(pod);
    await bench.setUp(plan);
    const theirs = ["peerpod-OUTPUT", "-d", "203.0.113.1", "-j", "RETURN"];
    await bench.rules("-A", ...theirs);
    await bench.tearDown(plan);
    expect(await bench.residue(plan)).toEqual([]);
    const rules = await bench.rules();
    expect(rules).toContain("-A OUTPUT -j peerpod-OUTPUT");
    expect(rules).not.toContain("peerpod-PREROUTING");
    await bench.rules("-D", ...theirs);
    await bench.tearDown(plan);
    expect(await bench.nodeState()).toBe(before);
  });

  test.skipIf(skip)(
    `20 pods at once get their tunnels, and lose them without a trace (needs root and ${variant})`,
    async () => {
      await using bench = await TunnelBench.create(variant);
      const before = await bench.nodeState();
      await using stack = new AsyncDisposableStack();
      const numbers = Array.from({ length: 20 }, (_, n) => n);
      const plans = await Promise.all(
        numbers.map(async (n) => bench.planFor(stack.use(await bench.newPod(n)), n)),
      );
      await Promise.all(plans.map((plan) => bench.setUp(plan)));
      const left = await Promise.all(plans.map((plan) => bench.residue(plan)));
      expect(left.map((list) => list.length)).toEqual(plans.map(() => COMPLETE_TUNNEL));
      const rules = (await bench.rules()).split("\n").filter((line) => line.startsWith("-A"));
      expect(rules).toHaveLength(2 + 2 * plans.length);
      await Promise.all(plans.map((plan) => bench.tearDown(plan)));
      expect(await bench.nodeState()).toBe(before);
    },
  );
});
