import { expect, test } from "vitest";
import { settle } from "../../test/fakes/fake-clock.ts";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";
import { quotaExceeded, unavailable } from "../errors/index.ts";

const never = new AbortController().signal;

/** Runs the pool until disposed. */
function keepPool(node: FakeSandboxes): AsyncDisposable {
  const end = new AbortController();
  const kept = node.manager.keepPool(end.signal).catch(() => undefined);
  return {
    async [Symbol.asyncDispose]() {
      end.abort(new Error("the test is over"));
      await kept;
    },
  };
}

const small = { machineType: "small", vcpus: 0, memoryMiB: 0, gpus: 0 };

test("a VM of the pool that its pod cannot use is gone before the pod's own is made: never more VMs than the limit", async () => {
  using node = new FakeSandboxes({ limit: 1, pool: [{ kind: "default", count: 1 }] });
  await using _ = keepPool(node);
  await settle();
  const release = node.cloud.hold("delete");
  node.node.isDedicated = true;
  await node.manager.create(node.request("s1"), never);
  const started = node.manager.start("s1", never);
  await settle();
  expect(node.cloud.vms.size).toBe(1);
  expect(node.cloud.made).toBe(1);
  release();
  await started;
  expect([...node.cloud.vms.keys()]).toEqual(["podvm-pod-s1-s1"]);
});

test("a limit that is lowered takes VMs from the pool, and none of them is given to a pod beyond it", async () => {
  using node = new FakeSandboxes({ limit: 4, pool: [{ kind: "default", count: 2 }] });
  await using _ = keepPool(node);
  await settle();
  await node.manager.create({ ...node.request("s1"), size: small }, never);
  await node.manager.create({ ...node.request("s2"), size: small }, never);
  node.live.set({ ...node.config, limit: 2 });
  const refused = node.manager.create(node.request("s3"), never).catch((error: unknown) => error);
  await settle();
  expect(node.journal.sandbox("s3")).toBeUndefined();
  expect(node.journal.usage()).toEqual({ used: 2, deleting: 0 });
  await node.clock.advance(30_000);
  expect(await refused).toMatchObject({ code: 8 });
});

test("the id that the cloud told after a VM had yielded is what it is deleted by", async () => {
  using node = new FakeSandboxes({ limit: 1, pool: [{ kind: "default", count: 1 }] });
  const release = node.cloud.hold("create-before");
  const asked: (string | undefined)[] = [];
  const { cloud } = node;
  const create = cloud.create.bind(cloud);
  // A create that has gone too far to be called back ends in spite of the signal.
  cloud.create = (request, options) => create(request, { ...options, signal: never });
  const remove = cloud.delete.bind(cloud);
  cloud.delete = async (ref, signal) => {
    asked.push(ref.id);
    await remove(ref, signal);
  };
  await using _ = keepPool(node);
  await settle();
  const made = node.manager.create({ ...node.request("s1"), size: small }, never);
  await settle();
  release();
  await made;
  expect(asked).toEqual(["id-1"]);
});

test("a stop does not wait for the delete of a VM that makes room", async () => {
  using node = new FakeSandboxes({ pool: [{ kind: "small", count: 1 }] });
  await using _ = keepPool(node);
  await settle();
  node.cloud.failNext("create", quotaExceeded("no quota for another VM"));
  await node.manager.create(node.request("s1"), never);
  node.cloud.failNext("delete", unavailable("not now"));
  const started = node.manager.start("s1", never).catch((error: unknown) => error);
  await settle();
  const stopped = node.manager.stop("s1", never);
  await settle();
  expect(node.journal.sandbox("s1")).toBeUndefined();
  await stopped;
  expect(await started).toMatchObject({ kind: "cancelled" });
});

test("a VM that an earlier release has found ownerless and deletes is not in the pool any more", async () => {
  using node = new FakeSandboxes({ pool: [{ kind: "default", count: 1 }] });
  {
    await using _ = keepPool(node);
    await settle();
  }
  const [vm] = node.journal.pool.vms();
  expect(vm?.phase).toBe("waiting");
  // As that release's reaper journals it; its delete goes on when this release is back.
  node.journal.orphanFound({ name: vm?.name ?? "", vmId: vm?.vmId ?? "", provider: "fake", tags: {} });
  await node.manager.create(node.request("s1"), never);
  expect(node.journal.vmOf("s1")).toBeUndefined();
  await using _ = keepPool(node);
  await settle();
  expect(node.journal.pool.vms().map(({ name }) => name)).not.toContain(vm?.name);
});

test("after a restart with other settings no pod gets a VM that was made from the old ones", async () => {
  using node = new FakeSandboxes({ pool: [{ kind: "default", count: 1 }] });
  {
    await using _ = keepPool(node);
    await settle();
  }
  const [old] = node.journal.pool.vms();
  node.live.set({ ...node.config, vmRevision: "second" });
  await node.restart();
  await node.manager.create(node.request("s1"), never);
  expect(node.journal.vmOf("s1")).toBeUndefined();
  await using _ = keepPool(node);
  await settle();
  expect(node.journal.pool.vms()).toMatchObject([{ phase: "waiting" }]);
  expect(node.cloud.vms.has(old?.name ?? "")).toBe(false);
  await node.restart();
  await node.manager.create(node.request("s2"), never);
  expect(node.journal.vmOf("s2")).toMatchObject({ phase: "running" });
});

test("a VM that the cloud cannot be asked about keeps no other from being replaced, trimmed or made", async () => {
  using node = new FakeSandboxes({ pool: [{ kind: "default", count: 2 }] });
  await using _ = keepPool(node);
  await settle();
  const [unknown, lost] = node.journal.pool.vms();
  node.cloud.vms.delete(lost?.name ?? "");
  node.cloud.failNext("get", unavailable("no answer"));
  await node.clock.advance(60_000);
  expect(node.journal.pool.vms()).toHaveLength(2);
  expect(node.journal.pool.vms().map(({ name }) => name)).toContain(unknown?.name);
  expect(node.journal.pool.vms().map(({ name }) => name)).not.toContain(lost?.name);
});
