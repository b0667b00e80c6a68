import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import type { Exec } from "../platform/index.ts";
import { planTunnel, type TunnelPlan } from "./plan.ts";
import { addRules, removeRules } from "./rules.ts";
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

  test.skipIf(skip)(
    `the table is read once for pods one after another, and again when somebody has changed it (needs root and ${variant})`,
    async () => {
      await using bench = await TunnelBench.create(variant);
      const before = await bench.nodeState();
      const signal = new AbortController().signal;
      let reads = 0;
      const run: Exec["run"] = (argv, options) => {
        if (argv[0] === "iptables") reads++;
        return bench.exec.run(argv, options);
      };
      const exec: Exec = { run };
      const plan = (n: number): TunnelPlan =>
        planTunnel({
          network: { netns: "/run/netns/x", podInterface: "eth0", vxlanPort: 4789, dedicated: false },
          vxlanId: 555_000 + n,
          vmAddresses: [`192.0.2.${n}`],
        });
      const rules = async (): Promise<string[]> =>
        (await bench.rules())
          .split("\n")
          .filter((line) => line.startsWith("-A"))
          .toSorted();
      for (const n of [1, 2, 3, 4]) await addRules(exec, plan(n), signal);
      const four = await rules();
      expect(four).toHaveLength(2 + 2 * 4);
      await removeRules(exec, plan(4), signal);
      expect(reads).toBe(1);
      await addRules(exec, plan(3), signal);
      expect(await rules()).toEqual(four.filter((line) => !line.includes("555004")));
      await bench.rules("-F");
      await addRules(exec, plan(4), signal);
      expect(await rules()).toEqual(four.filter((line) => !/55500[123]/.test(line)));
      await bench.rules("-F", "peerpod-OUTPUT");
      await removeRules(exec, plan(4), signal);
      expect(await bench.nodeState()).toBe(before);
    },
  );

  test.skipIf(skip)(
    `a tunnel that begins while the last one ends gets its chains (needs root and ${variant})`,
    async () => {
      await using bench = await TunnelBench.create(variant);
      const before = await bench.nodeState();
      await using pods = new AsyncDisposableStack();
      const plans = await Promise.all(
        [0, 1, 2].map(async (n) => bench.planFor(pods.use(await bench.newPod(n)), n)),
      );
      const signal = new AbortController().signal;
      const [first, ending, beginning] = plans.map((plan) => ({
        add: () => addRules(bench.exec, plan, signal),
        remove: () => removeRules(bench.exec, plan, signal),
      }));
      await ending?.add();
      // The first change is made alone; the others come while it is made, and are made in one.
      await Promise.all([first?.add(), first?.remove(), ending?.remove(), beginning?.add()]);
      const chains = (await bench.rules()).split("\n").filter((line) => line.startsWith("-A peerpod"));
      expect(chains.map((line) => /vni:(\d+)/.exec(line)?.[1])).toEqual(["555002", "555002"]);
      await beginning?.remove();
      expect(await bench.nodeState()).toBe(before);
    },
  );
});

describe("changes that are asked for at once", () => {
  const plan = (n: number): TunnelPlan =>
    planTunnel({
      network: { netns: "/run/netns/x", podInterface: "eth0", vxlanPort: 4789, dedicated: false },
      vxlanId: n,
      vmAddresses: [`192.0.2.${n}`],
    });
  const signal = new AbortController().signal;

  /** An iptables in memory that refuses every change which mentions one address. */
  function fakeIptables(refused: string): { exec: Exec; writes: string[] } {
    const writes: string[] = [];
    const run: Exec["run"] = async ([file], options) => {
      if (file === "iptables") return { code: 0, stdout: writes.join("\n"), stderr: "" };
      const input = options?.input ?? "";
      if (input.includes(refused)) return { code: 1, stdout: "", stderr: "refused" };
      writes.push(input);
      return { code: 0, stdout: "", stderr: "" };
    };
    return { exec: { run }, writes };
  }

  test("are made together", async () => {
    const { exec, writes } = fakeIptables("nothing");
    await Promise.all([1, 2, 3, 4].map((n) => addRules(exec, plan(n), signal)));
    expect(writes.map((text) => text.match(/vni:/g)?.length)).toEqual([2, 6]);
  });

  test("find what somebody else has made or removed meanwhile, each of them", async () => {
    const { exec, writes } = fakeIptables("nothing");
    const rulesOf = (n: number): string[] =>
      writes.flatMap((text) => text.split("\n")).filter((line) => line.includes(`vni:${n}]`));
    await Promise.all([1, 2].map((n) => addRules(exec, plan(n), signal)));
    // A change of a process that has been killed, which its iptables made nevertheless.
    const late = rulesOf(2).map((line) =>
      line.replaceAll("192.0.2.2/", "192.0.2.3/").replace("vni:2]", "vni:3]"),
    );
    writes.push(late.join("\n"));
    await Promise.all([
      addRules(exec, plan(4), signal),
      removeRules(exec, plan(3), signal),
      addRules(exec, plan(5), signal),
    ]);
    expect(rulesOf(3).filter((line) => line.startsWith("-D "))).toHaveLength(2);
    // And one that is taken to be there, is not, and is asked for again with another.
    for (const [index, text] of writes.entries()) writes[index] = text.replaceAll(/^.*vni:4].*$/gm, "");
    await Promise.all([1, 4, 6].map((n) => addRules(exec, plan(n), signal)));
    expect(rulesOf(4)).toHaveLength(2);
  });

  test("do not fail for the sake of one that is refused", async () => {
    const { exec, writes } = fakeIptables("192.0.2.3/32");
    const outcomes = await Promise.allSettled([1, 2, 3, 4].map((n) => addRules(exec, plan(n), signal)));
    expect(outcomes.map((outcome) => outcome.status)).toEqual([
      "fulfilled",
      "fulfilled",
      "rejected",
      "fulfilled",
    ]);
    expect(writes.join()).toMatch(/vni:1].*vni:2].*vni:4]/s);
  });

  test("leave a caller that gives up, and nobody else", async () => {
    const { exec } = fakeIptables("nothing");
    const controller = new AbortController();
    const [one, two] = [addRules(exec, plan(1), signal), addRules(exec, plan(2), controller.signal)];
    controller.abort(new Error("gave up"));
    await expect(two).rejects.toThrow("gave up");
    await expect(one).resolves.toBeUndefined();
  });
});
