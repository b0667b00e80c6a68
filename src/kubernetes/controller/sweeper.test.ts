import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { unavailable } from "../../errors/index.ts";
import { NodeProof } from "./node-proof.ts";
import { Sweeper } from "./sweeper.ts";
import { TestBench } from "./test-cluster.ts";

let bench: TestBench;
let sweeper: Sweeper;

beforeEach(() => {
  start();
});

function start(options: ConstructorParameters<typeof TestBench>[0] = {}): void {
  bench = new TestBench(options);
  const { deps } = bench;
  sweeper = new Sweeper(deps, bench.cluster, new NodeProof(deps.client, deps.clock));
  bench.node("alive");
  adaptorOn("alive");
}

const adaptorOn = (nodeName: string): void =>
  void bench.cluster.put(
    "pods",
    { name: `adaptor-${nodeName}`, namespace: "system", labels: { app: "cloud-api-adaptor" } },
    { spec: { nodeName } },
  );

async function round(afterMs = 0): Promise<void> {
  await bench.clock.advance(afterMs);
  await sweeper.round();
}

const vms = (): string[] => [...bench.provider.vms.keys()];

describe("a VM of a node that is gone", () => {
  test("is deleted after two looks a minute apart", async () => {
    bench.vm("dead", { name: "podvm-1" });
    await round();
    await round(59_000);
    expect(vms()).toEqual(["podvm-1"]);
    await round(1_000);
    expect(vms()).toEqual([]);
  });

  test("stays when the node was back in between", async () => {
    bench.vm("dead", { name: "podvm-1" });
    await round();
    bench.node("dead");
    await round(40_000);
    bench.cluster.remove("nodes", "dead");
    await round(40_000);
    expect(vms()).toEqual(["podvm-1"]);
    await round(60_000);
    expect(vms()).toEqual([]);
  });

  test("stays when only the watch has lost the node", async () => {
    bench.vm("n1", { name: "podvm-1" });
    bench.node("n1");
    const { cluster } = bench;
    const blind = new Sweeper(
      bench.deps,
      {
        whyNodesUnknown: () => undefined,
        whyPeerPodsUnknown: () => undefined,
        node: (name) => (name === "n1" ? undefined : cluster.node(name)),
        peerPods: () => [],
      },
      new NodeProof(cluster.client, bench.clock),
    );
    await blind.round();
    await bench.clock.advance(120_000);
    await blind.round();
    expect(vms()).toEqual(["podvm-1"]);
  });

  test("goes also when the node is there but out of service, and NotReady means nothing", async () => {
    bench.node("off", ["node.kubernetes.io/out-of-service"]);
    bench.node("sick", ["node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"]);
    adaptorOn("sick");
    bench.vm("off", { name: "podvm-off" });
    bench.vm("sick", { name: "podvm-sick" });
    await round();
    await round(60_000);
    await round(86_400_000);
    expect(vms()).toEqual(["podvm-sick"]);
  });

  test("takes the PeerPod with it, also one without an owner", async () => {
    const vm = bench.vm("dead", { name: "podvm-1" });
    bench.peerPod("pp", { node: "dead", instanceId: vm.id });
    bench.peerPod("other", { node: "alive", instanceId: "x" });
    await round();
    await round(60_000);
    const deleted = (name: string): unknown =>
      Object(bench.cluster.get("peerpods", name, "apps")?.["metadata"]).deletionTimestamp;
    expect(deleted("pp")).toBeDefined();
    expect(deleted("other")).toBeUndefined();
  });

  test("stays when its node comes back while those of others are deleted", async () => {
    for (let n = 0; n < 6; n++) bench.vm("dead", { name: `podvm-${n}` });
    await round();
    await bench.clock.advance(60_000);
    const go = bench.provider.hold("delete");
    const looking = sweeper.round();
    await bench.clock.advance(0);
    expect(bench.provider.calls.filter((call) => call.startsWith("delete"))).toHaveLength(4);
    bench.node("dead");
    go();
    await looking;
    expect(vms()).toEqual(["podvm-4", "podvm-5"]);
  });

  test("goes although its PeerPod cannot be deleted", async () => {
    const vm = bench.vm("dead", { name: "podvm-1" });
    bench.peerPod("pp", { node: "dead", instanceId: vm.id });
    await round();
    bench.cluster.failNext("delete peerpods", unavailable("no answer"));
    await round(60_000);
    expect(vms()).toEqual([]);
    expect(bench.notices).toContainEqual({ kind: "peer-pod", action: "failed", name: "apps/pp" });
  });

  test("is deleted within the budget, the others in the next looks", async () => {
    start({ budget: 2 });
    for (let n = 0; n < 5; n++) bench.vm("dead", { name: `podvm-${n}` });
    await round();
    await round(60_000);
    expect(vms()).toHaveLength(3);
    await round(300_000);
    expect(vms()).toHaveLength(1);
    await round(300_000);
    expect(vms()).toHaveLength(0);
  });

  test("stays in a dry run, which says so", async () => {
    start({ isDryRun: true });
    bench.vm("dead", { name: "podvm-1" });
    bench.peerPod("pp", { node: "dead", instanceId: "x" });
    await round();
    await round(60_000);
    expect(vms()).toEqual(["podvm-1"]);
    expect(
      Object(bench.cluster.get("peerpods", "pp", "apps")?.["metadata"]).deletionTimestamp,
    ).toBeUndefined();
    expect(bench.notices).toContainEqual(expect.objectContaining({ kind: "vm-delete", outcome: "dry-run" }));
  });

  test("that cannot be deleted is tried in the next look, and the others are not held up", async () => {
    bench.vm("dead", { name: "podvm-1" });
    bench.vm("dead", { name: "podvm-2" });
    bench.provider.failNext("delete", unavailable("no answer"));
    await round();
    await round(60_000);
    expect(vms()).toHaveLength(1);
    await round(300_000);
    expect(vms()).toHaveLength(0);
  });
});

describe("nothing is deleted", () => {
  test.each<[string, () => void]>([
    ["while the nodes are not known", () => (bench.cluster.nodesTrouble = "the watch is down")],
    ["when the API server has no node at all", () => bench.cluster.remove("nodes", "alive")],
    ["when the cloud cannot be asked", () => bench.provider.failNext("list", unavailable("no answer"))],
    [
      "when the node cannot be asked for",
      () => bench.cluster.failNext("find nodes", unavailable("no answer")),
    ],
    [
      "when the adaptors cannot be listed",
      () => bench.cluster.failNext("list pods", unavailable("no answer")),
    ],
  ])("%s", async (_, break_) => {
    bench.vm("dead", { name: "podvm-1" });
    await round();
    break_();
    await expect(round(60_000)).rejects.toMatchObject({ kind: "unavailable" });
    expect(vms()).toEqual(["podvm-1"]);
  });

  test("of another cluster, without a node, or on its way out", async () => {
    bench.vm("dead", { name: "podvm-other", tags: { "peerpods-cluster": "cluster-2" } });
    bench.vm("", { name: "podvm-nowhere" });
    const vm = bench.vm("dead", { name: "podvm-going" });
    bench.provider.vms.set(vm.name, { ...vm, lifecycle: "deleting" });
    await round();
    await round(3_600_000);
    expect(vms()).toHaveLength(3);
  });

  test("by one that may no longer be the leader", async () => {
    bench.vm("dead", { name: "podvm-1" });
    await round();
    bench.isLeader = false;
    await expect(round(60_000)).rejects.toThrow("not the leader");
    expect(vms()).toEqual(["podvm-1"]);
  });
});

describe("a VM of a living node", () => {
  beforeEach(() => {
    bench.node("bare");
  });

  test("is deleted when node has no adaptor, and pod and PeerPod were gone for an hour", async () => {
    bench.vm("bare", { name: "podvm-1", pod: "none" });
    bench.vm("alive", { name: "podvm-2", pod: "none" });
    await round();
    await round(3_599_000);
    expect(vms()).toHaveLength(2);
    await round(1_000);
    expect(vms()).toEqual(["podvm-2"]);
  });

  test.each<[string, () => void]>([
    ["its pod is there", () => void bench.pod("web", { nodeName: "bare" })],
    ["its pod is not scheduled", () => void bench.pod("web")],
    ["it has a PeerPod by id", () => bench.peerPod("pp", { instanceId: "id-podvm-1" })],
    ["it has a PeerPod by sandbox", () => bench.peerPod("pp", { sandbox: "s1" })],
    ["the PeerPods are not known", () => (bench.cluster.peerPodsTrouble = "no such resource")],
    ["an adaptor has come", () => adaptorOn("bare")],
    [
      "there is no adaptor anywhere, so that the label must be wrong",
      () => bench.cluster.remove("pods", "adaptor-alive", "system"),
    ],
  ])("stays when %s", async (_, change) => {
    bench.vm("bare", { name: "podvm-1", sandbox: "s1" });
    change();
    await round();
    await round(3_600_000);
    await round(3_600_000);
    expect(vms()).toEqual(["podvm-1"]);
  });

  test("begins its hour anew when its pod was seen in between", async () => {
    bench.vm("bare", { name: "podvm-1" });
    await round();
    bench.pod("web", { nodeName: "bare" });
    await round(1_800_000);
    bench.cluster.remove("pods", "web", "apps");
    await round(1_800_000);
    expect(vms()).toEqual(["podvm-1"]);
    await round(3_600_000);
    expect(vms()).toEqual([]);
  });

  test("of a pod whose name now runs on another node is nobody's either", async () => {
    bench.vm("bare", { name: "podvm-1" });
    bench.pod("web", { nodeName: "alive" });
    await round();
    await round(3_600_000);
    expect(vms()).toEqual([]);
  });

  test("without a pod in its tags is never a suspect", async () => {
    bench.vm("bare", { name: "podvm-1", tags: { "peerpods-pod": "", "peerpods-namespace": "" } });
    await round();
    await round(86_400_000);
    expect(vms()).toEqual(["podvm-1"]);
  });
});

describe("a VM that waits in the warm pool of a living node", () => {
  const poolVm = (node: string, name: string): unknown =>
    bench.vm(node, { name, sandbox: "pool", pod: "", namespace: "" });

  beforeEach(() => {
    bench.node("bare");
  });

  test("is deleted when the node has had no adaptor and no peer pod for an hour", async () => {
    poolVm("bare", "podvm-pool-1");
    poolVm("alive", "podvm-pool-2");
    bench.pod("ordinary", { nodeName: "bare" });
    bench.pod("done", { nodeName: "bare", runtimeClassName: "kata-remote" }, {}, { phase: "Succeeded" });
    bench.pod("elsewhere", { nodeName: "alive", runtimeClassName: "kata-remote" });
    await round();
    await round(3_599_000);
    expect(vms()).toHaveLength(2);
    await round(1_000);
    expect(vms()).toEqual(["podvm-pool-2"]);
    expect(bench.notices).toContainEqual(
      expect.objectContaining({ kind: "vm-delete", reason: "pool-abandoned", outcome: "deleted" }),
    );
  });

  test.each<[string, () => void]>([
    [
      "a pod runs there that may have taken it",
      () => void bench.pod("web", { nodeName: "bare", runtimeClassName: "kata" }),
    ],
    ["a PeerPod names it", () => bench.peerPod("pp", { instanceId: "id-podvm-pool" })],
    ["the node has a PeerPod", () => bench.peerPod("pp", { node: "bare", instanceId: "another" })],
    ["the PeerPods are not known", () => (bench.cluster.peerPodsTrouble = "no such resource")],
    ["an adaptor has come", () => adaptorOn("bare")],
    [
      "there is no adaptor anywhere, so that the label must be wrong",
      () => bench.cluster.remove("pods", "adaptor-alive", "system"),
    ],
  ])("stays when %s", async (_, change) => {
    poolVm("bare", "podvm-pool");
    change();
    await round();
    await round(3_600_000);
    await round(3_600_000);
    expect(vms()).toEqual(["podvm-pool"]);
  });

  test("stays when the adaptor comes back while others are deleted", async () => {
    for (let n = 0; n < 5; n++) poolVm("bare", `podvm-pool-${n}`);
    await round();
    await bench.clock.advance(3_600_000);
    const go = bench.provider.hold("delete");
    const looking = sweeper.round();
    await bench.clock.advance(0);
    expect(bench.provider.calls.filter((call) => call.startsWith("delete"))).toHaveLength(4);
    adaptorOn("bare");
    go();
    await looking;
    expect(vms()).toEqual(["podvm-pool-4"]);
  });
});

test("it waits for the first list of nodes, looks, looks again a minute later, and then seldom", async () => {
  bench.vm("dead", { name: "podvm-1" });
  bench.cluster.nodesTrouble = "the nodes have not been listed yet";
  const run = sweeper.run();
  await bench.clock.advance(2000);
  expect(bench.notices).toEqual([]);
  bench.cluster.nodesTrouble = undefined;
  await bench.clock.advance(500);
  expect(bench.notices.map((notice) => notice.kind)).toEqual(["sweep"]);
  await bench.clock.advance(61_000);
  expect(vms()).toEqual([]);
  const looks = (): number => bench.notices.filter((notice) => notice.kind === "sweep").length;
  expect(looks()).toBe(2);
  await bench.clock.advance(299_000);
  expect(looks()).toBe(2);
  await bench.clock.advance(1000);
  expect(looks()).toBe(3);
  bench.end();
  await run;
});

test("nodes that cannot be listed for long are a failed look, which is tried again", async () => {
  bench.cluster.nodesTrouble = "forbidden";
  const run = sweeper.run();
  await bench.clock.advance(30_000);
  expect(bench.notices.map((notice) => notice.kind)).toEqual(["sweep-failed"]);
  bench.cluster.nodesTrouble = undefined;
  await bench.clock.advance(61_000);
  expect(bench.notices.at(-1)?.kind).toBe("sweep");
  bench.end();
  await run;
});

type Step =
  | { readonly do: "look"; readonly afterMs: number }
  | { readonly do: "gone" | "back" | "taint"; readonly node: string }
  | { readonly do: "fail"; readonly what: "find nodes" | "list pods" | "cloud" };

test("a VM goes only after two looks, a minute apart, between which every look found its node gone", async () => {
  const nodes = ["a", "b"];
  const node = fc.constantFrom(...nodes);
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ do: fc.constant("look" as const), afterMs: fc.integer({ min: 0, max: 90_000 }) }),
    fc.record({ do: fc.constantFrom("gone" as const, "back" as const, "taint" as const), node }),
    fc.record({
      do: fc.constant("fail" as const),
      what: fc.constantFrom("find nodes", "list pods", "cloud"),
    }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      start();
      for (const name of nodes) {
        bench.node(name);
        adaptorOn(name);
        bench.vm(name, { name: `podvm-${name}` });
      }
      const goneSinceMs = new Map<string, number>();
      const isGone = new Map<string, boolean>();
      for (const one of steps) {
        if (one.do === "gone") bench.cluster.remove("nodes", one.node);
        if (one.do === "back") bench.node(one.node);
        if (one.do === "taint") bench.node(one.node, ["node.kubernetes.io/out-of-service"]);
        if (one.do === "gone" || one.do === "back" || one.do === "taint")
          isGone.set(one.node, one.do !== "back");
        if (one.do === "fail" && one.what === "cloud")
          bench.provider.failNext("list", unavailable("no answer"));
        else if (one.do === "fail") bench.cluster.failNext(one.what, unavailable("no answer"));
        if (one.do !== "look") continue;
        await bench.clock.advance(one.afterMs);
        const before = new Set(vms());
        await sweeper.round().catch(() => undefined);
        const nowMs = bench.clock.monotonicMs();
        for (const name of nodes) {
          const sinceMs = goneSinceMs.get(name);
          const wasDeleted = before.has(`podvm-${name}`) && !vms().includes(`podvm-${name}`);
          if (wasDeleted) expect(nowMs - (sinceMs ?? nowMs)).toBeGreaterThanOrEqual(60_000);
          if (isGone.get(name) !== true) {
            // A look that failed saw nothing; what a look saw before still holds then, and the node was well for this one.
            expect(wasDeleted).toBe(false);
            goneSinceMs.delete(name);
          } else if (sinceMs === undefined) goneSinceMs.set(name, nowMs);
        }
      }
    }),
    { numRuns: 60 },
  );
});
