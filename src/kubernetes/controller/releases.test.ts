import { beforeEach, describe, expect, test } from "vitest";
import { unavailable } from "../../errors/index.ts";
import { labelValue, PEER_POD_FINALIZER } from "../client/index.ts";
import { VM_NAME_ANNOTATION } from "./names.ts";
import { NodeProof } from "./node-proof.ts";
import { Releases } from "./releases.ts";
import { CLUSTER, TestBench } from "./test-cluster.ts";

let bench: TestBench;
let releases: Releases;

beforeEach(() => {
  bench = new TestBench();
  bench.node("n1");
  start();
});

function start(): void {
  const { deps } = bench;
  releases = new Releases(deps, bench.cluster, new NodeProof(deps.client, deps.clock));
}

/** One look, and all that follows from it. */
async function round(afterMs = 0): Promise<void> {
  await bench.clock.advance(afterMs);
  releases.round();
  await releases.settled();
}

const vms = (): string[] => [...bench.provider.vms.keys()];
const finalizers = (name: string): unknown =>
  Object(bench.cluster.get("peerpods", name, "apps")?.["metadata"]).finalizers;
const outcomes = (): string[] =>
  bench.notices.flatMap((notice) => (notice.kind === "vm-delete" ? [notice.outcome] : []));

describe("a PeerPod that is deleted with its pod", () => {
  test("loses its VM and our finalizer, and keeps others'", async () => {
    const vm = bench.vm("gone", { sandbox: "s1" });
    bench.peerPod("pp", { node: "gone", sandbox: "s1", instanceId: vm.id, ownerUid: "u1" });
    bench.cluster.delete("peerpods", "pp", "apps");
    await round();
    expect(vms()).toEqual([]);
    expect(finalizers("pp")).toEqual(["someone/else"]);
    expect(outcomes()).toEqual(["deleted"]);
  });

  test("is left to the adaptor of a living node for the grace, and then not", async () => {
    const vm = bench.vm("n1", { sandbox: "s1" });
    bench.peerPod("pp", { node: "n1", sandbox: "s1", instanceId: vm.id, ownerUid: "u1" });
    bench.cluster.delete("peerpods", "pp", "apps");
    await round();
    await round(599_000);
    expect(vms()).toHaveLength(1);
    expect(bench.cluster.calls).toEqual([]);
    await round(1_000);
    expect(vms()).toEqual([]);
  });

  test("of a node that is out of service goes at once", async () => {
    bench.node("n1", ["node.kubernetes.io/out-of-service"]);
    const vm = bench.vm("n1", { sandbox: "s1" });
    bench.peerPod("pp", { node: "n1", sandbox: "s1", instanceId: vm.id, ownerUid: "u1" });
    bench.cluster.delete("peerpods", "pp", "apps");
    await round();
    expect(vms()).toEqual([]);
  });

  test("of a node that is NotReady waits as on any living node", async () => {
    bench.node("n1", ["node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"]);
    const vm = bench.vm("n1", { sandbox: "s1" });
    bench.peerPod("pp", { node: "n1", sandbox: "s1", instanceId: vm.id, ownerUid: "u1" });
    bench.cluster.delete("peerpods", "pp", "apps");
    await round();
    await round(300_000);
    expect(vms()).toHaveLength(1);
  });

  test("whose VM is gone already loses its finalizer", async () => {
    bench.peerPod("pp", { instanceId: "id-none", ownerUid: "u1" });
    bench.cluster.delete("peerpods", "pp", "apps");
    await round();
    expect(finalizers("pp")).toEqual(["someone/else"]);
    expect(outcomes()).toEqual(["gone"]);
  });

  test("without an instance id finds its VM by the sandbox's tag, whose label is shortened", async () => {
    const sandbox = "a".repeat(64);
    bench.vm("gone", { sandbox, name: "podvm-web-1" });
    bench.vm("gone", { sandbox: "c".repeat(64), name: "podvm-web-2" });
    bench.peerPod("pp", { node: "gone", sandbox: labelValue(sandbox), ownerUid: "u1" });
    bench.cluster.delete("peerpods", "pp", "apps");
    await round();
    expect(vms()).toEqual(["podvm-web-2"]);
  });

  test("keeps its finalizer while the cloud fails, and is tried again later and later", async () => {
    const vm = bench.vm("gone");
    bench.peerPod("pp", { node: "gone", instanceId: vm.id, ownerUid: "u1" });
    bench.cluster.delete("peerpods", "pp", "apps");
    bench.provider.failNext("delete", unavailable("no answer"), unavailable("no answer"));
    await round();
    expect(finalizers("pp")).toContain(PEER_POD_FINALIZER);
    await round(4_000);
    expect(outcomes()).toEqual(["failed"]);
    await round(1_000);
    await round(9_000);
    expect(outcomes()).toEqual(["failed", "failed"]);
    await round(1_000);
    expect(outcomes()).toEqual(["failed", "failed", "deleted"]);
    expect(finalizers("pp")).toEqual(["someone/else"]);
  });

  test("is not touched by one that may no longer be the leader", async () => {
    const vm = bench.vm("gone");
    bench.peerPod("pp", { node: "gone", instanceId: vm.id, ownerUid: "u1" });
    bench.cluster.delete("peerpods", "pp", "apps");
    bench.isLeader = false;
    await round();
    expect(vms()).toHaveLength(1);
    expect(bench.provider.calls).toEqual([]);
  });

  test("in a dry run keeps all", async () => {
    bench = new TestBench({ isDryRun: true });
    bench.node("n1");
    start();
    const vm = bench.vm("gone");
    bench.peerPod("pp", { node: "gone", instanceId: vm.id, ownerUid: "u1" });
    bench.cluster.delete("peerpods", "pp", "apps");
    await round();
    expect(vms()).toHaveLength(1);
    expect(finalizers("pp")).toContain(PEER_POD_FINALIZER);
    expect(outcomes()).toEqual(["dry-run"]);
  });
});

describe("a PeerPod that somebody deletes while its pod lives", () => {
  test("keeps the VM until the pod ends", async () => {
    const uid = bench.pod("web");
    const vm = bench.vm("n1");
    bench.peerPod("pp", { instanceId: vm.id, ownerUid: uid });
    bench.cluster.delete("peerpods", "pp", "apps");
    await round();
    await round(3_600_000);
    expect(vms()).toHaveLength(1);
    bench.cluster.remove("pods", "web", "apps");
    await round(30_000);
    expect(vms()).toEqual([]);
  });

  test("goes when another pod has taken the name of its own", async () => {
    bench.pod("web");
    const vm = bench.vm("n1");
    bench.peerPod("pp", { instanceId: vm.id, ownerUid: "the-one-before" });
    bench.cluster.delete("peerpods", "pp", "apps");
    await round();
    expect(vms()).toEqual([]);
  });
});

describe("a VM that a PeerPod may not have deleted", () => {
  test.each([
    ["another cluster's", { sandbox: "s1", tags: { "peerpods-cluster": "cluster-2" } }],
    ["a pod's of another namespace", { sandbox: "s1", namespace: "other" }],
    ["another sandbox's", { sandbox: "s2" }],
    ["not made by any adaptor", { sandbox: "s1", name: "database", tags: { "peerpods-cluster": "" } }],
  ])("is one that is %s", async (_, about) => {
    const vm = bench.vm("gone", about);
    bench.peerPod("pp", { node: "gone", sandbox: "s1", instanceId: vm.id, ownerUid: "u1" });
    bench.cluster.delete("peerpods", "pp", "apps");
    await round();
    expect(vms()).toHaveLength(1);
    expect(finalizers("pp")).toContain(PEER_POD_FINALIZER);
    expect(outcomes()).toEqual(["refused"]);
  });

  test("is one of another cloud, which nobody asks this one for", async () => {
    bench.peerPod("pp", { instanceId: "i-1", ownerUid: "u1" });
    const object = bench.cluster.get("peerpods", "pp", "apps");
    bench.cluster.put(
      "peerpods",
      { ...Object(object?.["metadata"]) },
      { spec: { cloudProvider: "aws", instanceID: "i-1" } },
    );
    bench.cluster.delete("peerpods", "pp", "apps");
    await round();
    expect(outcomes()).toEqual(["refused"]);
    expect(bench.provider.calls).toEqual([]);
  });

  test("is not one of the Go adaptor's, which have no tags", async () => {
    const vm = bench.vm("n1", {
      name: "podvm-web-1234",
      tags: { "peerpods-cluster": "", "peerpods-node": "" },
    });
    bench.peerPod("pp", { instanceId: vm.id, ownerUid: "u1" });
    bench.cluster.delete("peerpods", "pp", "apps");
    await round();
    expect(vms()).toEqual([]);
  });
});

test("of two PeerPods of a pod the older one goes with its VM, and the newest stays", async () => {
  const uid = bench.pod("web");
  const old = bench.vm("n1", { name: "podvm-web-1" });
  const now = bench.vm("n1", { name: "podvm-web-2" });
  bench.peerPod("old", { instanceId: old.id, ownerUid: uid, created: "2026-01-01T00:00:00Z" });
  bench.peerPod("now", { instanceId: now.id, ownerUid: uid, created: "2026-01-01T00:05:00Z" });
  await round();
  await round(30_000);
  expect(vms()).toEqual(["podvm-web-2"]);
  expect(
    Object(bench.cluster.get("peerpods", "now", "apps")?.["metadata"]).deletionTimestamp,
  ).toBeUndefined();
});

test("PeerPods that are hand-made and empty harm nobody", async () => {
  bench.cluster.put("peerpods", { name: "bare", namespace: "apps" });
  bench.cluster.put("peerpods", { name: "held", namespace: "apps", finalizers: [PEER_POD_FINALIZER] });
  bench.cluster.delete("peerpods", "held", "apps");
  await round();
  expect(bench.cluster.names("peerpods")).toEqual(["bare"]);
  expect(bench.provider.calls).toEqual([]);
});

test("no more than four VMs are deleted at once, and each only once", async () => {
  for (let n = 0; n < 6; n++) {
    const vm = bench.vm("gone", { name: `podvm-${n}` });
    bench.peerPod(`pp${n}`, { node: "gone", instanceId: vm.id, ownerUid: `u${n}` });
    bench.cluster.delete("peerpods", `pp${n}`, "apps");
  }
  const go = bench.provider.hold("delete");
  releases.round();
  await bench.clock.advance(0);
  releases.round();
  await bench.clock.advance(0);
  expect(bench.provider.calls.filter((call) => call.startsWith("delete"))).toHaveLength(4);
  go();
  await releases.settled();
  await round();
  expect(vms()).toEqual([]);
  expect(bench.provider.calls.filter((call) => call.startsWith("delete"))).toHaveLength(6);
  expect(bench.options.clusterId).toBe(CLUSTER);
});

describe("a PeerPod whose VM waited in a warm pool, so that no tag says whose it is", () => {
  const name = "podvm-pool-1";
  const pooled = () =>
    bench.vm("gone", {
      ...{ name, sandbox: "pool" },
      tags: { "peerpods-namespace": "", "peerpods-pod": "" },
    });
  const more = { annotations: { [VM_NAME_ANNOTATION]: name } };

  test("loses its VM and the finalizer like any other: its namespace must not stay for ever", async () => {
    const vm = pooled();
    bench.peerPod("pp", { node: "gone", sandbox: "s1", instanceId: vm.id, ownerUid: "u1", more });
    bench.cluster.delete("peerpods", "pp", "apps");
    await round();
    expect([vms(), finalizers("pp")]).toEqual([[], ["someone/else"]]);
  });

  const asAdaptors = { node: "gone", sandbox: "s2", instanceId: `id-${name}`, more };

  test.each([
    ["that is no adaptor's", { instanceId: `id-${name}` }],
    ["that is younger than the pod's own", { ...asAdaptors, created: "2026-01-01T00:01:01Z" }],
    ["that was made in the same second", { ...asAdaptors, created: "2026-01-01T00:00:00Z" }],
    ["that an API server with a slow clock took", { ...asAdaptors, created: "2025-12-31T23:59:30Z" }],
  ])("is not deleted by one %s", async (_whose, forged) => {
    const vm = pooled();
    bench.peerPod("pp", { node: "gone", sandbox: "s1", instanceId: vm.id, ownerUid: "u1", more });
    bench.peerPod("forged", { ...forged, ownerUid: "u2" });
    bench.cluster.delete("peerpods", "forged", "apps");
    await round();
    expect([vms(), outcomes()]).toEqual([[name], ["refused"]]);
  });

  test("goes with the pod's own, whatever younger one names it too", async () => {
    const vm = pooled();
    bench.peerPod("pp", { node: "gone", sandbox: "s1", instanceId: vm.id, ownerUid: "u1", more });
    bench.peerPod("forged", { ...asAdaptors, ownerUid: "u2", created: "2026-01-01T00:01:01Z" });
    bench.cluster.delete("peerpods", "pp", "apps");
    await round();
    expect(vms()).toEqual([]);
  });
});
