import { expect, test } from "vitest";
import { OwnerTag, type Vm } from "../../providers/contract.ts";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";
import { unavailable } from "../errors/index.ts";
import type { Runtime, RuntimeSandboxState } from "./ports.ts";
import { DEFAULT_REAPER, Reaper, type ReaperOptions } from "./reaper.ts";

const never = new AbortController().signal;

class FakeRuntime implements Runtime {
  readonly sandboxes: Map<string, RuntimeSandboxState> = new Map();
  failure: Error | undefined;

  async podUid(): Promise<undefined> {
    return undefined;
  }

  async list(): Promise<ReadonlyMap<string, RuntimeSandboxState>> {
    if (this.failure !== undefined) throw this.failure;
    return new Map(this.sandboxes);
  }
}

const orphan = (name: string, tags: Readonly<Record<string, string>> = {}): Vm => ({
  id: `id-${name}`,
  name,
  lifecycle: "running",
  addresses: ["10.0.0.9"],
  tags: {
    [OwnerTag.Cluster]: "cluster-1",
    [OwnerTag.Node]: "node-1",
    [OwnerTag.Sandbox]: `sandbox-of-${name}`,
    ...tags,
  },
});

function setUp(options: Partial<ReaperOptions> = {}): {
  node: FakeSandboxes;
  runtime: FakeRuntime;
  reaper: Reaper;
} {
  const node = new FakeSandboxes();
  const runtime = new FakeRuntime();
  const reaper = new Reaper({ ...node.deps, runtime }, { ...DEFAULT_REAPER, ...options }, (vm) => {
    node.journal.orphanFound({ name: vm.name, vmId: vm.id, provider: "fake", tags: vm.tags });
    node.manager.deleteVm(vm.name, vm.id);
  });
  return { node, runtime, reaper };
}

/** Long enough for a VM whose sandbox the runtime has never listed. */
const PAST_START_DEADLINE = DEFAULT_REAPER.startDeadlineMs;

test("a VM whose row in the journal cannot be read is not nobody's", async () => {
  const { node, reaper } = setUp();
  await node.manager.create(node.request("s1"), never);
  await node.manager.start("s1", never);
  node.journal.pool.intend(
    { name: "podvm-pool-1", kind: "default", provider: "fake", tags: {}, limit: -1 },
    () => 0,
  );
  node.cloud.vms.set("podvm-pool-1", orphan("podvm-pool-1"));
  node.cloud.vms.set("of-s2", orphan("of-s2", { [OwnerTag.Sandbox]: "s2" }));
  await node.manager.create(node.request("s2"), never);
  node.journal.withDatabase((db) => {
    db.exec("UPDATE vms SET phase = 'dancing'; UPDATE pool SET phase = 'dancing'");
    db.exec("UPDATE sandboxes SET phase = 'dancing'");
  });
  const before = [...node.cloud.vms.keys()];
  await reaper.round(never);
  await node.clock.advance(PAST_START_DEADLINE);
  await reaper.round(never);
  await node.clock.advance(61_000);
  expect(await reaper.round(never)).toEqual([]);
  expect([...node.cloud.vms.keys()]).toEqual(before);
});

test("a VM that nobody owns is deleted after two looks at least 60 s apart", async () => {
  const { node, reaper } = setUp();
  node.cloud.vms.set("lost", orphan("lost"));
  expect(await reaper.round(never)).toEqual([]);
  await node.clock.advance(PAST_START_DEADLINE);
  expect(await reaper.round(never)).toEqual([]);
  await node.clock.advance(59_000);
  expect(await reaper.round(never)).toEqual([]);
  await node.clock.advance(1000);
  expect(await reaper.round(never)).toEqual(["lost"]);
  await node.clock.advance(0);
  expect(node.cloud.vms.size).toBe(0);
  node[Symbol.dispose]();
});

test("a sandbox that the runtime has listed before counts as gone without the start deadline", async () => {
  const { node, runtime, reaper } = setUp();
  node.cloud.vms.set("lost", orphan("lost"));
  runtime.sandboxes.set("sandbox-of-lost", "ready");
  await reaper.round(never);
  runtime.sandboxes.clear();
  await reaper.round(never);
  await node.clock.advance(60_000);
  expect(await reaper.round(never)).toEqual(["lost"]);
  node[Symbol.dispose]();
});

test.each([
  ["another node's", { [OwnerTag.Node]: "node-2" }],
  ["another cluster's", { [OwnerTag.Cluster]: "cluster-2" }],
  ["nobody's by its tags", { [OwnerTag.Sandbox]: "" }],
])("%s VM is never touched, even when the provider lists it", async (_, tags) => {
  const { node, reaper } = setUp();
  const foreign = orphan("foreign", tags);
  node.cloud.list = async () => [foreign];
  for (let n = 0; n < 5; n++) {
    await node.clock.advance(PAST_START_DEADLINE);
    expect(await reaper.round(never)).toEqual([]);
  }
  node[Symbol.dispose]();
});

test("a VM that the journal knows, or whose sandbox the runtime lists, stays", async () => {
  const { node, runtime, reaper } = setUp();
  await node.manager.create(node.request("s1"), never);
  await node.manager.start("s1", never);
  node.cloud.vms.set("listed", orphan("listed"));
  runtime.sandboxes.set("sandbox-of-listed", "not-ready");
  for (let n = 0; n < 4; n++) {
    expect(await reaper.round(never)).toEqual([]);
    await node.clock.advance(PAST_START_DEADLINE);
  }
  expect(node.cloud.vms.size).toBe(2);
  node[Symbol.dispose]();
});

test("nothing is deleted when runtime or cloud cannot be asked, nor on the first look after that", async () => {
  const { node, runtime, reaper } = setUp();
  node.cloud.vms.set("lost", orphan("lost"));
  await reaper.round(never);
  await node.clock.advance(PAST_START_DEADLINE);
  runtime.failure = unavailable("containerd restarts");
  await expect(reaper.round(never)).rejects.toThrow("containerd restarts");
  runtime.failure = undefined;
  node.cloud.failNext("list", unavailable("partial answer"));
  await expect(reaper.round(never)).rejects.toThrow("partial answer");
  expect(await reaper.round(never)).toEqual([]);
  expect(node.cloud.vms.size).toBe(1);
  node[Symbol.dispose]();
});

test("a dry run only says which, and a budget bounds one look", async () => {
  for (const [options, left] of [
    [{ dryRun: true, budget: 2 }, 4],
    [{ budget: 2 }, 2],
  ] as const) {
    const { node, reaper } = setUp(options);
    for (const name of ["a", "b", "c", "d"]) node.cloud.vms.set(name, orphan(name));
    await reaper.round(never);
    await node.clock.advance(PAST_START_DEADLINE);
    await reaper.round(never);
    await node.clock.advance(60_000);
    expect(await reaper.round(never)).toHaveLength(2);
    await node.clock.advance(0);
    expect(node.cloud.vms.size).toBe(left);
    node[Symbol.dispose]();
  }
});

test("a VM that has an owner again in between starts anew", async () => {
  const { node, runtime, reaper } = setUp();
  node.cloud.vms.set("lost", orphan("lost"));
  await reaper.round(never);
  await node.clock.advance(PAST_START_DEADLINE);
  await reaper.round(never);
  runtime.sandboxes.set("sandbox-of-lost", "ready");
  await node.clock.advance(60_000);
  await reaper.round(never);
  runtime.sandboxes.clear();
  expect(await reaper.round(never)).toEqual([]);
  node[Symbol.dispose]();
});

test("without the cluster's identity nothing is looked for", async () => {
  const node = new FakeSandboxes({ owner: { clusterId: "", nodeName: "node-1" } });
  const reaper = new Reaper({ ...node.deps, runtime: new FakeRuntime() }, DEFAULT_REAPER, () => undefined);
  node.cloud.vms.set("x", orphan("x", { [OwnerTag.Cluster]: "" }));
  await reaper.round(never);
  expect(node.cloud.calls).toEqual([]);
  node[Symbol.dispose]();
});

test("after quiet looks it looks less often, and more often again when there is something to see", async () => {
  const { node, reaper } = setUp();
  const ending = new AbortController();
  const running = reaper.run(ending.signal).catch(() => undefined);
  const looks = (): number => node.cloud.calls.filter((call) => call.startsWith("list")).length;
  await node.clock.advance(12 * 60 * 60_000);
  // Twelve looks an hour would be 144; one in an hour after the first ones is at most 18, jitter included.
  expect(looks()).toBeGreaterThanOrEqual(11);
  expect(looks()).toBeLessThanOrEqual(18);
  node.cloud.vms.set("lost", orphan("lost"));
  await node.clock.advance(120 * 60_000);
  expect(node.cloud.vms.has("lost")).toBe(false);
  ending.abort(new Error("the test is over"));
  await running;
});
