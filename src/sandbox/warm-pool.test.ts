import { describe, expect, test } from "vitest";
import { settle } from "../../test/fakes/fake-clock.ts";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";
import { capacityExhausted, quotaExceeded, unavailable } from "../errors/index.ts";
import { POOL_USER_DATA } from "../user-data/index.ts";
import type { PodRequest } from "./request.ts";

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

const waiting = (node: FakeSandboxes): string[] =>
  node.journal.pool
    .vms()
    .filter((vm) => vm.phase === "waiting")
    .map((vm) => vm.name);

async function start(node: FakeSandboxes, id: string, change: Partial<PodRequest> = {}): Promise<void> {
  await node.manager.create({ ...node.request(id), ...change }, never);
  await node.manager.start(id, never);
}

const small = { machineType: "small", vcpus: 0, memoryMiB: 0, gpus: 0 };

describe("the warm pool", () => {
  test("a pod takes a VM that waits, is told to it only then, and the pool is filled again", async () => {
    using node = new FakeSandboxes({ pool: [{ kind: "default", count: 1 }] });
    await using _ = keepPool(node);
    await settle();
    const [name = ""] = waiting(node);
    expect(node.cloud.userData.get(name)).toBe(POOL_USER_DATA);
    await start(node, "s1");
    expect(node.journal.vmOf("s1")).toMatchObject({ name, phase: "running", userDataDue: false });
    expect(node.cloud.userData.get(name)).toContain("/run/peerpod/apf.json");
    expect(node.proxy.links.get("s1")).toMatchObject({ tls: { serverName: name } });
    await settle();
    expect(waiting(node)).toHaveLength(1);
    expect(waiting(node)).not.toContain(name);
  });

  test("makes no VM before the cluster whose tag it would carry is known", async () => {
    using node = new FakeSandboxes({ pool: [{ kind: "default", count: 1 }] });
    const known = Promise.withResolvers<void>();
    const end = new AbortController();
    const manager = node.managerWith({ identified: () => known.promise });
    const kept = manager.keepPool(end.signal).catch(() => undefined);
    await settle();
    expect(node.residue()).toEqual([]);
    known.resolve();
    await settle();
    expect(waiting(node)).toHaveLength(1);
    end.abort(new Error("the test is over"));
    await kept;
  });

  test("a VM that served a pod never comes back to the pool", async () => {
    using node = new FakeSandboxes({ pool: [{ kind: "default", count: 1 }] });
    await using _ = keepPool(node);
    await settle();
    const [name = ""] = waiting(node);
    await start(node, "s1");
    await node.manager.stop("s1", never);
    expect(node.cloud.vms.has(name)).toBe(false);
    await node.manager.create(node.request("s2"), never);
    const taken = node.journal.vmOf("s2")?.name ?? "";
    node.manager.callerLeft("s2", "CreateVM");
    await node.manager.stop("s2", never);
    expect(node.cloud.vms.has(taken)).toBe(false);
  });

  test("a pod of another kind gets a VM of its own", async () => {
    using node = new FakeSandboxes({ pool: [{ kind: "default", count: 1 }] });
    await using _ = keepPool(node);
    await settle();
    const before = waiting(node);
    await start(node, "s1", { size: small });
    expect(node.journal.vmOf("s1")?.name).toBe("podvm-pod-s1-s1");
    expect(waiting(node)).toEqual(before);
  });

  test("its VMs count against the limit and are the first to yield", async () => {
    using node = new FakeSandboxes({ limit: 2, pool: [{ kind: "default", count: 2 }] });
    await using _ = keepPool(node);
    await settle();
    expect(node.journal.usage()).toEqual({ used: 2, deleting: 0 });
    await start(node, "s1", { size: small });
    await start(node, "s2", { size: small });
    expect(node.journal.pool.size()).toBe(0);
    expect([...node.cloud.vms.keys()].sort()).toEqual(["podvm-pod-s1-s1", "podvm-pod-s2-s2"]);
    const refused = node.manager.create(node.request("s3"), never);
    await expect(refused).rejects.toMatchObject({ code: 8 });
  });

  test("one that is still being made yields without coming after its delete", async () => {
    using node = new FakeSandboxes({ limit: 1, pool: [{ kind: "default", count: 1 }] });
    const release = node.cloud.hold("create-before");
    await using _ = keepPool(node);
    await settle();
    expect(node.journal.pool.size()).toBe(1);
    await node.manager.create(node.request("s1"), never);
    release();
    await node.manager.start("s1", never);
    await settle();
    expect([...node.cloud.vms.keys()]).toEqual(["podvm-pod-s1-s1"]);
  });

  test("it makes room when the cloud's quota is used up, and only while it has any", async () => {
    using node = new FakeSandboxes({ pool: [{ kind: "small", count: 1 }] });
    await using _ = keepPool(node);
    await settle();
    node.cloud.failNext("create", quotaExceeded("no quota for another VM"));
    await start(node, "s1");
    expect(node.journal.pool.size()).toBe(0);
    node.cloud.failNext("create", quotaExceeded("no quota for another VM"));
    await node.manager.create(node.request("s2"), never);
    await expect(node.manager.start("s2", never)).rejects.toMatchObject({ kind: "quota" });
  });

  test("it gives up one VM for a start that the cloud has no room for, not all of them", async () => {
    using node = new FakeSandboxes({ pool: [{ kind: "small", count: 3 }] });
    await using _ = keepPool(node);
    await settle();
    node.cloud.failNext("create", capacityExhausted("no room"), capacityExhausted("still no room"));
    await node.manager.create(node.request("s1"), never);
    await expect(node.manager.start("s1", never)).rejects.toMatchObject({ kind: "capacity" });
    expect(waiting(node)).toHaveLength(2);
  });

  test("a waiting VM that is gone when its pod comes is replaced by one of the pod's own", async () => {
    using node = new FakeSandboxes({ pool: [{ kind: "default", count: 1 }] });
    await using _ = keepPool(node);
    await settle();
    const [name = ""] = waiting(node);
    await node.manager.create(node.request("s1"), never);
    node.cloud.vms.delete(name);
    await node.manager.start("s1", never);
    expect(node.journal.vmOf("s1")).toMatchObject({ name: "podvm-pod-s1-s1", phase: "running" });
    expect(node.proxy.links.get("s1")).toMatchObject({ tls: { serverName: name } });
    await settle();
    expect(node.journal.vms().map((vm) => vm.name)).toEqual(["podvm-pod-s1-s1"]);
  });

  test("one that cannot be told for the moment costs the start, and nothing stays", async () => {
    using node = new FakeSandboxes({ pool: [{ kind: "default", count: 1 }] });
    {
      await using _ = keepPool(node);
      await settle();
    }
    await node.manager.create(node.request("s1"), never);
    node.cloud.failNext("user-data", unavailable("the cloud does not answer"));
    await expect(node.manager.start("s1", never)).rejects.toMatchObject({ kind: "unavailable" });
    await node.manager.stop("s1", never);
    expect(node.residue()).toEqual([]);
  });

  test("a control plane that ends while VMs are made leaves them to the next one", async () => {
    using node = new FakeSandboxes({ pool: [{ kind: "default", count: 2 }] });
    const release = node.cloud.hold("create-after");
    {
      await using _ = keepPool(node);
      await settle();
      await node.restart();
    }
    release();
    const names = node.journal.pool.vms().map((vm) => vm.name);
    await using _ = keepPool(node);
    await settle();
    expect(waiting(node)).toEqual(names);
    expect(node.cloud.made).toBe(2);
  });

  test("a taken VM whose control plane dies before it is told is told by the next", async () => {
    using node = new FakeSandboxes({ pool: [{ kind: "default", count: 1 }] });
    {
      await using _ = keepPool(node);
      await settle();
    }
    const [name = ""] = waiting(node);
    await node.manager.create(node.request("s1"), never);
    await node.restart();
    await node.manager.start("s1", never);
    expect(node.cloud.userData.get(name)).toContain("/run/peerpod/apf.json");
    expect(node.cloud.made).toBe(1);
  });

  test("when VMs are made from other settings, those that wait are replaced", async () => {
    using node = new FakeSandboxes({ pool: [{ kind: "default", count: 2 }] });
    await using _ = keepPool(node);
    await settle();
    const before = waiting(node);
    node.live.set({ ...node.config, vmRevision: "second" });
    await settle();
    expect(waiting(node)).toHaveLength(2);
    expect(waiting(node).filter((name) => before.includes(name))).toEqual([]);
    expect(node.cloud.vms.size).toBe(2);
  });

  test("what is not wanted any more is deleted", async () => {
    using node = new FakeSandboxes({ pool: [{ kind: "default", count: 2 }] });
    {
      await using _ = keepPool(node);
      await settle();
    }
    Object.assign(node.config, { pool: [{ kind: "default", count: 1 }] });
    await using _ = keepPool(node);
    await settle();
    expect(node.cloud.vms.size).toBe(1);
    expect(node.journal.vms()).toEqual([]);
  });

  test("a kind that cannot be made is tried again later, with growing pauses, and blocks no other", async () => {
    using node = new FakeSandboxes({
      pool: [
        { kind: "small", count: 1 },
        { kind: "default", count: 1 },
      ],
    });
    node.cloud.failNext("create", capacityExhausted("no small VM today"));
    await using _ = keepPool(node);
    await settle();
    expect(node.journal.pool.vms().map((vm) => vm.kind)).toEqual(["default"]);
    node.cloud.failNext("create", capacityExhausted("none yet"));
    await node.clock.advance(5000);
    await settle();
    expect(node.journal.pool.vms().map((vm) => vm.kind)).toEqual(["default"]);
    await node.clock.advance(10_000);
    await settle();
    expect(node.journal.pool.vms().map((vm) => [vm.kind, vm.phase])).toEqual([
      ["default", "waiting"],
      ["small", "waiting"],
    ]);
    expect([...node.cloud.vms.keys()]).toHaveLength(2);
  });

  test("a VM that the cloud has lost while it waited is replaced", async () => {
    using node = new FakeSandboxes({ pool: [{ kind: "default", count: 1 }] });
    await using _ = keepPool(node);
    await settle();
    const [name = ""] = waiting(node);
    node.cloud.vms.delete(name);
    await node.clock.advance(60_000);
    await settle();
    expect(waiting(node)).toHaveLength(1);
    expect(waiting(node)).not.toContain(name);
  });
});
