import { describe, expect, test } from "vitest";
import { settle } from "../../test/fakes/fake-clock.ts";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";
import { unavailable } from "../errors/index.ts";
import type { Runtime, RuntimeSandboxState } from "./ports.ts";
import { ShimWatch } from "./shim-watch.ts";
import { checkVms } from "./vm-check.ts";

const never = new AbortController().signal;

async function withRunningPod(): Promise<FakeSandboxes> {
  const node = new FakeSandboxes();
  await node.manager.create(node.request("s1"), never);
  await node.manager.start("s1", never);
  return node;
}

describe("a sandbox without its shim", () => {
  test("is stopped after the grace time when no runtime can be asked", async () => {
    using node = await withRunningPod();
    const watch = new ShimWatch(node.deps, node.manager);
    watch.suspect("s1", "connections closed");
    await node.clock.advance(59_000);
    expect(node.journal.sandbox("s1")?.phase).toBe("running");
    await node.clock.advance(1000);
    expect(node.residue()).toEqual([]);
  });

  test("lives on when the shim comes back in time", async () => {
    using node = await withRunningPod();
    const watch = new ShimWatch(node.deps, node.manager);
    watch.suspect("s1", "connections closed");
    await node.clock.advance(30_000);
    watch.trust("s1");
    await node.clock.advance(600_000);
    expect(node.journal.sandbox("s1")?.phase).toBe("running");
  });

  test("is stopped as soon as the journal can be written again", async () => {
    using node = await withRunningPod();
    const readOnly = (on: boolean): void =>
      node.journal.withDatabase((db) => db.exec(`PRAGMA query_only = ${on ? "ON" : "OFF"}`));
    const watch = new ShimWatch(node.deps, node.manager);
    watch.suspect("s1", "connections closed");
    readOnly(true);
    await node.clock.advance(120_000);
    expect(node.journal.sandbox("s1")?.phase).toBe("running");
    readOnly(false);
    await node.clock.advance(10_000);
    expect(node.residue()).toEqual([]);
  });

  test("is not stopped by one list that lacks it: its shim may be starting it still", async () => {
    using node = await withRunningPod();
    let lists = 0;
    const runtime: Runtime = {
      podUid: async () => undefined,
      list: async () => (++lists === 2 ? new Map([["s1", "ready"]]) : new Map()),
    };
    const watch = new ShimWatch({ ...node.deps, runtime }, node.manager);
    watch.suspect("s1", "connections closed");
    await node.clock.advance(10_000);
    expect(node.journal.sandbox("s1")?.phase).toBe("running");
    await node.clock.advance(10_000);
    expect(node.residue()).toEqual([]);
  });

  test("is stopped only when the runtime agrees, and a runtime that does not answer agrees to nothing", async () => {
    using node = await withRunningPod();
    let answer: () => Map<string, RuntimeSandboxState> = () => new Map([["s1", "ready"]]);
    const runtime: Runtime = { podUid: async () => undefined, list: async () => answer() };
    const watch = new ShimWatch({ ...node.deps, runtime }, node.manager);
    watch.suspect("s1", "connections closed");
    await node.clock.advance(600_000);
    expect(node.journal.sandbox("s1")?.phase).toBe("running");
    answer = () => {
      throw unavailable("containerd is down");
    };
    await node.clock.advance(600_000);
    expect(node.journal.sandbox("s1")?.phase).toBe("running");
    answer = () => new Map([["s1", "not-ready"]]);
    await node.clock.advance(5000);
    expect(node.residue()).toEqual([]);
  });
});

describe("a shim that was killed between the answer to its StartVM and its first connection", () => {
  test("has its sandbox stopped after the grace times", async () => {
    using node = await withRunningPod();
    const watch = new ShimWatch(node.deps, node.manager);
    watch.expectConnection("s1");
    await node.clock.advance(120_000);
    expect(node.residue()).toEqual([]);
  });

  test("is not assumed when a connection came, before or after the answer", async () => {
    using node = await withRunningPod();
    const watch = new ShimWatch(node.deps, node.manager);
    watch.expectConnection("s1");
    watch.trust("s1");
    await node.clock.advance(600_000);
    watch.expectConnection("s1");
    await node.clock.advance(600_000);
    expect(node.journal.sandbox("s1")?.phase).toBe("running");
  });

  test("is not assumed while the runtime lists the sandbox as ready", async () => {
    using node = await withRunningPod();
    const runtime: Runtime = { podUid: async () => undefined, list: async () => new Map([["s1", "ready"]]) };
    const watch = new ShimWatch({ ...node.deps, runtime }, node.manager);
    watch.expectConnection("s1");
    await node.clock.advance(600_000);
    expect(node.journal.sandbox("s1")?.phase).toBe("running");
  });
});

/** No agent answers. */
const silent = { isUp: () => false };
/** From so many on, one list is asked for first. */
const MANY = Array.from({ length: 10 }, (_, n) => `s${n + 1}`);

async function withManyPods(): Promise<FakeSandboxes> {
  const node = new FakeSandboxes();
  for (const id of MANY) {
    await node.manager.create(node.request(id), never);
    await node.manager.start(id, never);
  }
  return node;
}

describe("the VM of a sandbox", () => {
  test("whose agent answers is there, and the cloud is not asked", async () => {
    using node = await withRunningPod();
    node.cloud.vms.clear();
    const asked = node.cloud.calls.length;
    await checkVms(node.deps, { isUp: (id) => id === "s1" }, never);
    expect(node.cloud.calls).toHaveLength(asked);
    expect(node.proxy.failedLinks.size).toBe(0);
  });

  test("that the cloud no longer knows is told to the shim-proxy, with the reason", async () => {
    using node = await withRunningPod();
    await checkVms(node.deps, silent, never);
    expect(node.proxy.failedLinks.size).toBe(0);
    node.cloud.vms.clear();
    await checkVms(node.deps, silent, never);
    expect(node.proxy.failedLinks.get("s1")).toContain("no longer exists");
  });

  test("that has stopped is told too", async () => {
    using node = await withRunningPod();
    for (const vm of node.cloud.vms.values())
      node.cloud.vms.set(vm.name, { ...vm, lifecycle: "stopped", detail: "host failed" });
    await checkVms(node.deps, silent, never);
    expect(node.proxy.failedLinks.get("s1")).toContain("host failed");
  });

  test("is told already while StartVM waits for its agent", async () => {
    using node = new FakeSandboxes();
    await node.manager.create(node.request("s1"), never);
    const dialled = Promise.withResolvers<void>();
    node.proxy.putLink = () => dialled.promise;
    const start = node.manager.start("s1", never);
    await settle();
    await checkVms(node.deps, silent, never);
    expect(node.proxy.failedLinks.size).toBe(0);
    node.cloud.vms.clear();
    await checkVms(node.deps, silent, never);
    expect(node.proxy.failedLinks.get("s1")).toContain("no longer exists");
    dialled.resolve();
    await start;
  });

  test("is not given up by a list that lacks it while a second look finds it", async () => {
    using node = await withManyPods();
    node.cloud.list = async () => [];
    await checkVms(node.deps, silent, never);
    expect(node.proxy.failedLinks.size).toBe(0);
  });

  test("is not given up when the cloud cannot be asked", async () => {
    using node = await withRunningPod();
    node.cloud.vms.clear();
    node.cloud.failNext("get", unavailable("503"));
    await checkVms(node.deps, silent, never);
    expect(node.proxy.failedLinks.size).toBe(0);
  });

  test("of which there are many is asked about in one list, and given up only if that was answered", async () => {
    using node = await withManyPods();
    node.cloud.calls.length = 0;
    await checkVms(node.deps, silent, never);
    expect(node.cloud.calls).toEqual(["list cluster-1"]);
    node.cloud.vms.clear();
    node.cloud.failNext("list", unavailable("503"));
    await expect(checkVms(node.deps, silent, never)).rejects.toThrow("503");
    expect(node.proxy.failedLinks.size).toBe(0);
    await checkVms(node.deps, silent, never);
    expect([...node.proxy.failedLinks.keys()].sort()).toEqual(MANY.toSorted());
  });

  test("is told though the cloud cannot be asked about another", async () => {
    using node = await withRunningPod();
    await node.manager.create(node.request("s2"), never);
    await node.manager.start("s2", never);
    node.cloud.vms.clear();
    node.cloud.failNext("get", unavailable("503"));
    await checkVms(node.deps, silent, never);
    expect([...node.proxy.failedLinks.keys()]).toEqual(["s2"]);
  });

  test("is not looked at once its sandbox is being stopped", async () => {
    using node = await withRunningPod();
    node.cloud.hold("delete");
    node.manager.recordStop("s1");
    await settle();
    node.cloud.vms.clear();
    await checkVms(node.deps, silent, never);
    expect(node.proxy.failedLinks.size).toBe(0);
    await node.manager.shutDown();
  });
});
