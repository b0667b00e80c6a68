import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Exec, silentLog } from "../platform/index.ts";
import { planTunnel } from "./plan.ts";
import { NO_NAMESPACES, type TestNamespace } from "./test-namespaces.ts";
import { COMPLETE_TUNNEL, StoppedHere, stopAt, TunnelBench } from "./test-tunnels.ts";
import { setUpTunnel, TUNNEL_STEPS, tearDownTunnel } from "./tunnel.ts";

const signal = new AbortController().signal;
const SETUP_STEPS = TUNNEL_STEPS.filter((step) => step.startsWith("add-"));
const TEARDOWN_STEPS = TUNNEL_STEPS.filter((step) => step.startsWith("remove-"));

const batch = async (pod: TestNamespace, ...lines: readonly string[]): Promise<void> => {
  const result = await pod.exec.run(["tc", "-batch", "-"], { input: `${lines.join("\n")}\n` });
  expect(result.stderr).toBe("");
};

describe.skipIf(NO_NAMESPACES)("a tunnel (needs root)", () => {
  let bench: TunnelBench;
  let before: string;

  beforeAll(async () => {
    bench = await TunnelBench.create();
    before = await bench.nodeState();
  });
  afterAll(() => bench[Symbol.asyncDispose]());

  test("is made of rules, a device and redirections, and teardown leaves nothing", async () => {
    await using pod = await bench.newPod();
    const plan = bench.planFor(pod);
    const podBefore = await bench.podState(pod);
    expect(await bench.residue(plan)).toEqual([]);
    await bench.setUp(plan);
    const made = await bench.residue(plan);
    expect(
      made.map((text) => text.replace(/^iptables raw: -A (\S+) .*/, "$1").replace(pod.path, "the pod")),
    ).toEqual([
      "peerpod-OUTPUT",
      "peerpod-PREROUTING",
      "device vxlan1 in the pod",
      "ingress qdisc on eth0",
      "ingress qdisc on vxlan1",
    ]);
    await bench.tearDown(plan);
    expect(await bench.residue(plan)).toEqual([]);
    expect(await bench.nodeState()).toBe(before);
    expect(await bench.podState(pod)).toBe(podBefore);
  });

  test("is not changed by a second set-up, nor is its absence by a second teardown", async () => {
    await using pod = await bench.newPod();
    const plan = bench.planFor(pod);
    await bench.setUp(plan);
    const once = [await bench.podState(pod), await bench.nodeState()];
    await bench.setUp(plan);
    expect([await bench.podState(pod), await bench.nodeState()]).toEqual(once);
    await bench.tearDown(plan);
    await bench.tearDown(plan);
    expect(await bench.nodeState()).toBe(before);
  });

  const points = SETUP_STEPS.flatMap((step) =>
    (["before", "after"] as const).map((phase) => ({ step, phase })),
  );

  test.each(points)(
    "whose set-up stopped $phase $step can be undone, and completed",
    async ({ step, phase }) => {
      await using pod = await bench.newPod();
      const plan = bench.planFor(pod);
      const podBefore = await bench.podState(pod);
      await expect(bench.setUp(plan, stopAt(step, phase))).rejects.toBeInstanceOf(StoppedHere);
      await bench.tearDown(plan);
      expect([await bench.residue(plan), await bench.nodeState(), await bench.podState(pod)]).toEqual([
        [],
        before,
        podBefore,
      ]);
      await expect(bench.setUp(plan, stopAt(step, phase))).rejects.toBeInstanceOf(StoppedHere);
      await bench.setUp(plan);
      expect(await bench.residue(plan)).toHaveLength(COMPLETE_TUNNEL);
      await bench.tearDown(plan);
      expect(await bench.nodeState()).toBe(before);
    },
  );

  test.each(TEARDOWN_STEPS)("whose teardown stopped after %s is removed by the next one", async (step) => {
    await using pod = await bench.newPod();
    const plan = bench.planFor(pod);
    await bench.setUp(plan);
    await expect(bench.tearDown(plan, { onStep: stopAt(step, "after") })).rejects.toBeInstanceOf(StoppedHere);
    await bench.tearDown(plan);
    expect([await bench.residue(plan), await bench.nodeState()]).toEqual([[], before]);
  });

  const redirections = [
    "qdisc add dev eth0 ingress",
    "filter add dev eth0 parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev vxlan1",
    "qdisc add dev vxlan1 ingress",
  ];

  test.each([1, 2, 3])("with the first %i of its redirections can be undone, and completed", async (made) => {
    await using pod = await bench.newPod();
    const plan = bench.planFor(pod);
    const podBefore = await bench.podState(pod);
    const prepare = async (): Promise<void> => {
      await expect(bench.setUp(plan, stopAt("add-redirects", "before"))).rejects.toBeInstanceOf(StoppedHere);
      await batch(pod, ...redirections.slice(0, made));
    };
    await prepare();
    await bench.tearDown(plan);
    expect(await bench.podState(pod)).toBe(podBefore);
    await prepare();
    await bench.setUp(plan);
    expect(await bench.residue(plan)).toHaveLength(COMPLETE_TUNNEL);
    expect((await bench.podState(pod)).match(/mirred/g)).toHaveLength(1);
    await bench.tearDown(plan);
    expect(await bench.nodeState()).toBe(before);
  });

  test("whose device somebody deleted leaves no dead redirection", async () => {
    await using pod = await bench.newPod();
    const plan = bench.planFor(pod);
    const podBefore = await bench.podState(pod);
    await bench.setUp(plan);
    await pod.ip("link delete vxlan1");
    await bench.tearDown(plan);
    expect(await bench.podState(pod)).toBe(podBefore);
  });

  test("whose namespace is gone leaves no rules", async () => {
    const pod = await bench.newPod();
    const plan = bench.planFor(pod);
    await bench.setUp(plan);
    await pod.remove();
    await bench.tearDown(plan);
    expect([await bench.residue(plan), await bench.nodeState()]).toEqual([[], before]);
    await expect(bench.setUp(plan)).rejects.toMatchObject({ kind: "invalid-request" });
    expect(await bench.nodeState()).toBe(before);
  });

  test("whose namespace goes while it is torn down leaves no rules", async () => {
    const pod = await bench.newPod();
    const plan = bench.planFor(pod);
    await bench.setUp(plan);
    await bench.tearDown(plan, {
      onStep: async (step, phase) => {
        if (step === "remove-device" && phase === "before") await pod.remove();
      },
    });
    expect([await bench.residue(plan), await bench.nodeState()]).toEqual([[], before]);
  });

  test("neither uses nor removes a device of another tunnel, nor its redirections", async () => {
    await using pod = await bench.newPod();
    const [theirs, ours] = [bench.planFor(pod, 1), bench.planFor(pod, 2)];
    await bench.setUp(theirs);
    await expect(bench.setUp(ours)).rejects.toThrow(
      /already has a device vxlan1 that is not this tunnel's \(VXLAN 555002 to 192.0.2.12:4789\)/,
    );
    const warnings: string[] = [];
    await bench.tearDown(ours, { log: { ...silentLog, warn: (message) => void warnings.push(message) } });
    expect(warnings.join()).toMatch(/vxlan1 in .* is not this tunnel's and is left alone/);
    expect(await bench.residue(theirs)).toHaveLength(COMPLETE_TUNNEL);
    await bench.tearDown(theirs);
    expect([await bench.residue(ours), await bench.nodeState()]).toEqual([[], before]);
  });

  test("leaves a filter of somebody else on the pod's interface", async () => {
    await using pod = await bench.newPod();
    const plan = bench.planFor(pod);
    await bench.setUp(plan);
    await batch(
      pod,
      "filter add dev eth0 parent ffff: pref 7 protocol ip u32 match ip dst 10.0.0.9/32 flowid 1:1",
    );
    await bench.tearDown(plan);
    expect(await bench.residue(plan)).toEqual(["ingress qdisc on eth0"]);
    const filters = await bench.podState(pod);
    expect([filters.includes("flowid 1:1"), filters.includes("mirred")]).toEqual([true, false]);
  });

  test("is refused in words when its VXLAN id is in use on the node", async () => {
    await using one = await bench.newPod();
    await using two = await bench.newPod(1);
    await bench.setUp(bench.planFor(one));
    const same = { ...bench.planFor(two, 1), vxlanId: 555_000 };
    await expect(bench.setUp(same)).rejects.toThrow(
      /cannot add VXLAN 555000 to 192.0.2.11:4789 .*already exists/,
    );
    await bench.tearDown(same);
    expect(await bench.residue(bench.planFor(one))).toHaveLength(COMPLETE_TUNNEL);
    await bench.tearDown(bench.planFor(one));
    expect(await bench.nodeState()).toBe(before);
  });

  test("is refused in words when the pod's interface is gone", async () => {
    await using pod = await bench.newPod();
    const plan = { ...bench.planFor(pod), podInterface: "eth9" };
    await expect(bench.setUp(plan)).rejects.toThrow(/Cannot find device "eth9"/);
    await bench.tearDown(plan);
    expect(await bench.nodeState()).toBe(before);
  });
});

describe("when a tool fails", () => {
  const plan = planTunnel({
    network: { netns: "/proc/self/ns/uts", podInterface: "eth0", vxlanPort: 4789, dedicated: false },
    vxlanId: 7,
    vmAddresses: ["192.0.2.10"],
  });

  test("its words are in the error, and teardown still tries the rest", async () => {
    const asked: string[] = [];
    const exec: Exec = {
      run: async (argv) => {
        asked.push(argv.join(" "));
        return { code: 4, stdout: "", stderr: `${argv[0]} is\nbroken` };
      },
    };
    const deps = { exec, log: silentLog };
    await expect(setUpTunnel(deps, plan, signal)).rejects.toMatchObject({
      kind: "network",
      message: expect.stringMatching(
        /^cannot read the iptables rules of table raw: iptables is; broken; .*nsenter is; broken/,
      ),
    });
    asked.length = 0;
    await expect(tearDownTunnel(deps, plan, signal)).rejects.toThrow(
      /nsenter is; broken.*iptables is; broken/,
    );
    expect(asked.map((command) => command.split(" ")[0])).toEqual(["iptables", "nsenter", "nsenter"]);
  });

  test("again and again, it is not asked for ever", async () => {
    let changes = 0;
    const exec: Exec = {
      run: async ([file]) => {
        if (file === "iptables") return { code: 0, stdout: "-P OUTPUT ACCEPT\n", stderr: "" };
        if (file !== "iptables-restore") return { code: 0, stdout: "", stderr: "" };
        changes++;
        return { code: 1, stdout: "", stderr: "no such target" };
      },
    };
    await expect(setUpTunnel({ exec, log: silentLog }, plan, signal)).rejects.toThrow(
      "cannot change the tunnel's iptables rules: no such target",
    );
    expect(changes).toBeLessThanOrEqual(10);
  });

  test("because the caller gave up, teardown ends at once", async () => {
    const controller = new AbortController();
    const exec: Exec = {
      run: async () => {
        controller.abort(new Error("gave up"));
        throw new Error("killed");
      },
    };
    await expect(tearDownTunnel({ exec, log: silentLog }, plan, controller.signal)).rejects.toThrow(
      "gave up",
    );
  });
});
