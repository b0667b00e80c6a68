import * as v from "valibot";
import { expect, test } from "vitest";
import { eagerClock } from "../../../test/fakes/eager-clock.ts";
import { failure } from "../../../test/fakes/kubernetes/index.ts";
import { unavailable } from "../../errors/index.ts";
import { type Log, silentLog } from "../../platform/index.ts";
import { PEER_PODS, type PeerPod } from "../client/index.ts";
import { type PodVm, peerPodName, planPeerPods } from "./peer-pod-plan.ts";
import { PeerPods } from "./peer-pods.ts";
import { TestCluster } from "./testing.ts";

const RESOURCE = "peerpods.confidentialcontainers.org";
const sandboxId = (n: number): string => `${n}`.padStart(64, "0");

const vm = (n: number, change: Partial<PodVm> = {}): PodVm => ({
  sandboxId: sandboxId(n),
  podNamespace: "a",
  podName: `pod-${n}`,
  podUid: `uid-${n}`,
  vmName: `podvm-pod-${n}`,
  instanceId: `i-${n}`,
  isDeleting: false,
  ...change,
});

/** A journal and a cloud with these VMs. */
class World {
  readonly vms = new Map<string, PodVm>();
  readonly cloud = new Set<string>();
  cloudAnswers = true;
  asked = 0;

  add(one: PodVm): void {
    this.vms.set(one.sandboxId, one);
    if (one.instanceId !== undefined) this.cloud.add(one.instanceId);
  }

  start(cluster: TestCluster, log: Log = silentLog): PeerPods {
    const peerPods = new PeerPods(
      {
        client: cluster.client,
        clock: eagerClock,
        log,
        vms: () => [...this.vms.values()],
        vmExists: async ({ id }) => {
          this.asked++;
          if (!this.cloudAnswers) throw unavailable("the cloud is down");
          return this.cloud.has(id);
        },
      },
      { nodeName: "worker-1", provider: "mock" },
    );
    cluster.run(peerPods);
    return peerPods;
  }
}

const objects = (cluster: TestCluster): PeerPod[] =>
  cluster.api.all(RESOURCE).map((object) => v.parse(PEER_PODS.schema, object));

test("each VM gets the PeerPod that the Go adaptor would make, labelled", async () => {
  await using cluster = await TestCluster.start();
  const world = new World();
  world.add(vm(1));
  world.start(cluster);
  await cluster.until(() => objects(cluster).length === 1);
  const [peerPod] = objects(cluster);
  expect(peerPod?.metadata).toMatchObject({
    namespace: "a",
    finalizers: ["peer.pod/finalizer"],
    ownerReferences: [
      {
        apiVersion: "v1",
        kind: "Pod",
        name: "pod-1",
        uid: "uid-1",
        controller: true,
        blockOwnerDeletion: true,
      },
    ],
    annotations: { "confidentialcontainers.org/sandbox": sandboxId(1) },
  });
  expect(peerPod?.metadata.name).toMatch(/^pod-1-resource-.{5}$/);
  expect(peerPod?.metadata.labels?.["confidentialcontainers.org/sandbox"]?.length).toBeLessThan(64);
  expect(peerPod?.spec).toEqual({ cloudProvider: "mock", instanceID: "i-1" });
});

test("a VM without an id, or one that goes, gets none", async () => {
  await using cluster = await TestCluster.start();
  const world = new World();
  world.add(vm(1, { instanceId: undefined }));
  world.add(vm(2, { isDeleting: true }));
  world.add(vm(3));
  world.start(cluster);
  await cluster.until(() => objects(cluster).length > 0);
  expect(objects(cluster).map((one) => one.spec?.instanceID)).toEqual(["i-3"]);
});

test("a VM that goes keeps its PeerPod until it is gone; then only our finalizer is removed", async () => {
  await using cluster = await TestCluster.start();
  const world = new World();
  world.add(vm(1));
  const peerPods = world.start(cluster);
  await cluster.until(() => objects(cluster).length === 1);
  const name = objects(cluster)[0]?.metadata.name ?? "";
  const object = cluster.api.get(RESOURCE, name, "a");
  cluster.api.put(RESOURCE, {
    ...object,
    metadata: { ...objects(cluster)[0]?.metadata, finalizers: ["other/one", "peer.pod/finalizer"] },
  });
  world.vms.set(sandboxId(1), vm(1, { isDeleting: true }));
  peerPods.poke();
  world.vms.delete(sandboxId(1));
  world.cloud.clear();
  peerPods.vmGone(sandboxId(1));
  await cluster.until(() => objects(cluster)[0]?.metadata.deletionTimestamp !== undefined);
  expect(objects(cluster)[0]?.metadata.finalizers).toEqual(["other/one"]);
  expect(world.asked).toBe(0);
});

test("what an earlier process left is released by its labels, though its Pod was force-deleted", async () => {
  await using cluster = await TestCluster.start();
  const before = new World();
  before.add(vm(1));
  before.start(cluster);
  await cluster.until(() => objects(cluster).length === 1);
  await cluster.end();
  await using later = await TestCluster.start();
  for (const object of cluster.api.all(RESOURCE))
    later.api.put(RESOURCE, { ...object, metadata: { ...v.parse(PEER_PODS.schema, object).metadata } });
  const after = new World();
  after.start(later);
  await later.until(() => objects(later).length === 0);
  expect(after.asked).toBe(1);
});

test("PeerPods of other nodes and of the Go adaptor are let alone", async () => {
  await using cluster = await TestCluster.start();
  const foreign = { labels: { "confidentialcontainers.org/node": "worker-2" } };
  cluster.api.put(RESOURCE, { metadata: { name: "x", namespace: "a", ...foreign }, spec: {} });
  cluster.api.put(RESOURCE, { metadata: { name: "y", namespace: "a" }, spec: { instanceID: "i" } });
  const world = new World();
  world.add(vm(1));
  world.start(cluster);
  await cluster.until(() => objects(cluster).length === 3);
});

test("a VM that the journal does not know but the cloud has keeps its PeerPod, for the reaper and the controller", async () => {
  await using cluster = await TestCluster.start();
  const world = new World();
  world.add(vm(1));
  const peerPods = world.start(cluster);
  await cluster.until(() => objects(cluster).length === 1);
  world.vms.clear();
  world.add(vm(2));
  peerPods.poke();
  await cluster.until(() => objects(cluster).length === 2);
  world.add(vm(3));
  peerPods.poke();
  await cluster.until(() => objects(cluster).length >= 3);
  expect(objects(cluster).some((one) => one.spec?.instanceID === "i-1")).toBe(true);
  expect(world.asked).toBeGreaterThan(0);
});

test("a create whose answer was lost finds its own object", async () => {
  await using cluster = await TestCluster.start();
  const world = new World();
  world.add(vm(1));
  const before = cluster.api.handle.bind(cluster.api);
  let lost = 0;
  cluster.api.handle = (request, response) => {
    const answer = before(request, response);
    return request.method === "POST" && lost++ === 0 ? undefined : answer;
  };
  const peerPods = world.start(cluster);
  await cluster.until(() => objects(cluster).length === 1);
  world.add(vm(2));
  peerPods.poke();
  await cluster.until(() => objects(cluster).length === 2);
  expect(objects(cluster).map((one) => one.spec?.instanceID)).toEqual(["i-1", "i-2"]);
});

test("a name that another sandbox of the pod has is not taken for its own", async () => {
  await using cluster = await TestCluster.start();
  const taken = peerPodName("pod-1", sandboxId(1), 0);
  cluster.api.put(RESOURCE, { metadata: { name: taken, namespace: "a" }, spec: { instanceID: "other" } });
  const world = new World();
  world.add(vm(1));
  world.start(cluster);
  await cluster.until(() => objects(cluster).length === 2);
  expect(objects(cluster).map((one) => one.spec?.instanceID)).toEqual(["other", "i-1"]);
});

test("a namespace that is being deleted keeps no other pod from its PeerPod, and is no trouble", async () => {
  await using cluster = await TestCluster.start();
  const world = new World();
  for (const n of [1, 2, 3]) world.add(vm(n));
  const text = "unable to create new content in namespace a because it is being terminated";
  const create = { verb: "create", resource: RESOURCE, times: 1 };
  cluster.api.fail({ ...create, answer: failure(403, "Forbidden", text) });
  cluster.api.fail({ ...create, answer: failure(404, "NotFound", 'namespaces "a" not found') });
  const peerPods = world.start(cluster);
  await cluster.until(() => objects(cluster).length === 1);
  expect(peerPods.trouble).toBeUndefined();
  expect(objects(cluster)[0]?.spec?.instanceID).toBe("i-3");
});

test("one that the API server refuses keeps no other from its PeerPod", async () => {
  await using cluster = await TestCluster.start();
  const world = new World();
  world.add(vm(1));
  world.add(vm(2));
  cluster.api.fail({
    verb: "create",
    resource: RESOURCE,
    times: 1,
    answer: failure(403, "Forbidden", "no"),
  });
  world.start(cluster);
  await cluster.until(() => objects(cluster).length === 2);
});

test("where blockOwnerDeletion needs more rights it is left out", async () => {
  await using cluster = await TestCluster.start();
  const world = new World();
  world.add(vm(1));
  const text =
    "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on";
  cluster.api.fail({ verb: "create", resource: RESOURCE, times: 1, answer: failure(403, "Forbidden", text) });
  world.start(cluster);
  await cluster.until(() => objects(cluster).length === 1);
  expect(objects(cluster)[0]?.metadata.ownerReferences?.[0]).not.toHaveProperty("blockOwnerDeletion");
});

test("a missing CRD is said once, and PeerPods are made when it comes", async () => {
  await using cluster = await TestCluster.start();
  cluster.api.resources.delete(RESOURCE);
  const world = new World();
  world.add(vm(1));
  const warnings: string[] = [];
  const warned = Promise.withResolvers<void>();
  world.start(cluster, {
    ...silentLog,
    warn: (text) => {
      warnings.push(text);
      warned.resolve();
    },
  });
  await warned.promise;
  cluster.api.resources.add(RESOURCE);
  await cluster.until(() => objects(cluster).length === 1);
  expect(warnings).toHaveLength(1);
});

test("without the UID of the runtime the pod of that name counts only if it is on this node", async () => {
  await using cluster = await TestCluster.start();
  const pod = (name: string, nodeName: string): void => {
    cluster.api.put("pods", { metadata: { name, namespace: "a", uid: `of-${name}` }, spec: { nodeName } });
  };
  pod("pod-1", "worker-2");
  pod("pod-2", "worker-1");
  const world = new World();
  world.add(vm(1, { podUid: undefined }));
  world.add(vm(2, { podUid: undefined }));
  world.start(cluster);
  await cluster.until(() => objects(cluster).length === 1);
  expect(objects(cluster)[0]?.metadata.ownerReferences?.[0]?.uid).toBe("of-pod-2");
});

test("a pod name of any length gives a name that the API server takes", () => {
  const long = peerPodName("p".repeat(253), sandboxId(1), 0);
  expect(long).toHaveLength(253);
  expect(long).toMatch(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/);
  expect(peerPodName("p", sandboxId(1), 0)).not.toBe(peerPodName("p", sandboxId(2), 0));
  expect(peerPodName("p", sandboxId(1), 0)).not.toBe(peerPodName("p", sandboxId(1), 1));
});

test("a plan for nothing is empty", () => {
  expect(planPeerPods([], [])).toEqual({ create: [], release: [] });
});
