import { describe, expect, test } from "vitest";
import { settle } from "../../test/fakes/fake-clock.ts";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";
import { capacityExhausted, networkFailed, unavailable } from "../errors/index.ts";

const never = new AbortController().signal;

async function running(node: FakeSandboxes, id: string): Promise<void> {
  await node.manager.create(node.request(id), never);
  await node.manager.start(id, never);
}

describe("a pod's life", () => {
  test("create, start and stop leave nothing behind", async () => {
    using node = new FakeSandboxes();
    expect(await node.manager.create(node.request("s1"), never)).toBe("/run/peerpod/pods/s1/agent.ttrpc");
    expect(node.cloud.vms.size).toBe(0);
    await node.manager.start("s1", never);
    expect([...node.cloud.vms.keys()]).toEqual(["podvm-pod-s1-s1"]);
    expect(node.proxy.links.get("s1")).toMatchObject({
      address: "10.0.0.1",
      port: 15150,
      tls: { serverName: "podvm-pod-s1-s1" },
    });
    expect(node.journal.sandbox("s1")).toMatchObject({ phase: "running", userData: undefined });
    await node.manager.stop("s1", never);
    expect(node.residue()).toEqual([]);
  });

  test("a repeated CreateVM gets the first one's answer, one with other arguments is refused", async () => {
    using node = new FakeSandboxes();
    const both = await Promise.all([
      node.manager.create(node.request("s1"), never),
      node.manager.create(node.request("s1"), never),
    ]);
    expect(new Set(both).size).toBe(1);
    await expect(node.manager.create(node.request("s1", "other"), never)).rejects.toMatchObject({ code: 6 });
    expect(node.journal.sandboxes()).toHaveLength(1);
  });

  test("a repeated StartVM joins the first and makes one VM", async () => {
    using node = new FakeSandboxes();
    await node.manager.create(node.request("s1"), never);
    const release = node.cloud.hold("create-before");
    const calls = [node.manager.start("s1", never), node.manager.start("s1", never)];
    await settle();
    release();
    await Promise.all(calls);
    await node.manager.start("s1", never);
    expect(node.cloud.made).toBe(1);
  });

  test("a failed StartVM deletes its VM and is answered the same way again until StopVM", async () => {
    using node = new FakeSandboxes();
    await node.manager.create(node.request("s1"), never);
    node.node.failNextTunnel(networkFailed("the netns /run/netns/s1 is gone"));
    await expect(node.manager.start("s1", never)).rejects.toThrow(/netns/);
    await settle();
    expect(node.cloud.vms.size).toBe(0);
    await expect(node.manager.start("s1", never)).rejects.toMatchObject({
      code: 14,
      message: expect.stringContaining("netns"),
    });
    expect(node.cloud.made).toBe(1);
    await node.manager.stop("s1", never);
    expect(node.residue()).toEqual([]);
  });

  test("a failed StartVM's cleaning and its StopVM remove the tunnel together, not one against the other", async () => {
    using node = new FakeSandboxes();
    await node.manager.create(node.request("s1"), never);
    node.node.failNextTunnel(networkFailed("the netns /run/netns/s1 is gone"));
    const removing = Promise.withResolvers<void>();
    let removals = 0;
    const tearDown = node.node.tearDown.bind(node.node);
    node.node.tearDown = async (plan) => {
      removals++;
      await removing.promise;
      await tearDown(plan);
    };
    await expect(node.manager.start("s1", never)).rejects.toThrow(/netns/);
    const stop = node.manager.stop("s1", never);
    await settle();
    removing.resolve();
    await stop;
    expect(removals).toBe(1);
    expect(node.residue()).toEqual([]);
  });

  test("StartVM of what CreateVM never made is refused as not found", async () => {
    using node = new FakeSandboxes();
    await expect(node.manager.start("s9", never)).rejects.toMatchObject({ code: 5 });
  });

  test("StopVM of the unknown succeeds and a later CreateVM and StartVM of that id are refused", async () => {
    using node = new FakeSandboxes();
    await node.manager.stop("s1", never);
    await expect(node.manager.create(node.request("s1"), never)).rejects.toMatchObject({ code: 9 });
    await expect(node.manager.start("s1", never)).rejects.toMatchObject({ code: 9 });
  });

  test.each(["create-before", "create-after"] as const)(
    "StopVM cancels a StartVM held at %s and its VM goes",
    async (point) => {
      using node = new FakeSandboxes();
      await node.manager.create(node.request("s1"), never);
      node.cloud.hold(point);
      const start = node.manager.start("s1", never);
      start.catch(() => undefined);
      await settle();
      await node.manager.stop("s1", never);
      await expect(start).rejects.toMatchObject({ code: 1 });
      expect(node.residue()).toEqual([]);
    },
  );

  test("a StartVM whose shim left is undone", async () => {
    using node = new FakeSandboxes();
    await node.manager.create(node.request("s1"), never);
    node.cloud.hold("create-after");
    const start = node.manager.start("s1", never);
    start.catch(() => undefined);
    await settle();
    node.manager.callerLeft("s1", "StartVM");
    await expect(start).rejects.toMatchObject({ code: 1 });
    await settle();
    expect(node.cloud.vms.size).toBe(0);
  });

  test("a StartVM that an earlier control plane began is undone when its shim leaves before it is asked again", async () => {
    using node = new FakeSandboxes();
    await node.manager.create(node.request("s1"), never);
    node.cloud.hold("create-after");
    node.manager.start("s1", never).catch(() => undefined);
    await settle();
    await node.restart();
    expect(node.journal.sandbox("s1")?.phase).toBe("starting");
    node.manager.callerLeft("s1", "StartVM");
    await settle();
    expect(node.cloud.vms.size).toBe(0);
    await expect(node.manager.start("s1", never)).rejects.toMatchObject({ code: 1 });
  });

  test("a caller that stops waiting changes nothing", async () => {
    using node = new FakeSandboxes();
    await node.manager.create(node.request("s1"), never);
    const release = node.cloud.hold("create-before");
    const caller = new AbortController();
    const start = node.manager.start("s1", caller.signal);
    start.catch(() => undefined);
    await settle();
    caller.abort(new Error("gone"));
    await expect(start).rejects.toThrow("gone");
    release();
    await settle();
    expect(node.journal.sandbox("s1")?.phase).toBe("running");
  });

  test("a CreateVM that no StartVM follows gives its slot back", async () => {
    using node = new FakeSandboxes({ limit: 1 });
    await node.manager.create(node.request("s1"), never);
    await node.clock.advance(600_000);
    expect(node.residue()).toEqual([]);
    await node.manager.create(node.request("s2"), never);
  });

  test("jumps of the machine's clock expire nothing", async () => {
    using node = new FakeSandboxes();
    await node.manager.create(node.request("s1"), never);
    node.clock.jumpWall(365 * 24 * 3_600_000);
    await node.clock.advance(1000);
    await node.manager.start("s1", never);
    node.clock.jumpWall(-2 * 365 * 24 * 3_600_000);
    await node.manager.stop("s1", never);
    expect(node.residue()).toEqual([]);
  });
});

describe("PEERPODS_LIMIT_PER_NODE", () => {
  test("50 CreateVM at once never exceed it, and the refusal says what to do", async () => {
    using node = new FakeSandboxes({ limit: 7 });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 50 }, (_, n) => node.manager.create(node.request(`s${n}`), never)),
    );
    expect(outcomes.filter((o) => o.status === "fulfilled")).toHaveLength(7);
    for (const o of outcomes) {
      if (o.status === "rejected") {
        expect(o.reason).toMatchObject({
          code: 8,
          message: expect.stringContaining("PEERPODS_LIMIT_PER_NODE"),
        });
      }
    }
  });

  test("a VM counts until the cloud says that it is gone; a CreateVM waits for its slot", async () => {
    using node = new FakeSandboxes({ limit: 1 });
    await running(node, "s1");
    const release = node.cloud.hold("delete");
    const stop = node.manager.stop("s1", never);
    const create = node.manager.create(node.request("s2"), never);
    await settle();
    expect(node.journal.usage()).toEqual({ used: 1, deleting: 1 });
    release();
    await stop;
    await create;
    expect(node.journal.usage()).toEqual({ used: 1, deleting: 0 });
  });

  test("the wait for a slot is bounded", async () => {
    using node = new FakeSandboxes({ limit: 1 });
    await running(node, "s1");
    node.cloud.hold("delete");
    void node.manager.stop("s1", never).catch(() => undefined);
    const create = node.manager.create(node.request("s2"), never);
    create.catch(() => undefined);
    await node.clock.advance(30_000);
    await expect(create).rejects.toMatchObject({
      code: 8,
      message: expect.stringContaining("being deleted"),
    });
    await node.manager.shutDown();
  });

  test("the wait for a slot ends although the timer fires a little early", async () => {
    using node = new FakeSandboxes({ limit: 1 });
    await running(node, "s1");
    node.cloud.hold("delete");
    void node.manager.stop("s1", never).catch(() => undefined);
    const schedule = node.clock.schedule.bind(node.clock);
    node.clock.schedule = (ms, fn) => schedule(ms - 1, fn);
    const create = node.manager.create(node.request("s2"), never);
    create.catch(() => undefined);
    await node.clock.advance(29_999);
    await expect(create).rejects.toMatchObject({ code: 8 });
    await node.manager.shutDown();
  });

  test("negative means none, 0 means no pods", async () => {
    using open = new FakeSandboxes({ limit: -1 });
    for (let n = 0; n < 30; n++) await open.manager.create(open.request(`s${n}`), never);
    using closed = new FakeSandboxes({ limit: 0 });
    await expect(closed.manager.create(closed.request("s1"), never)).rejects.toMatchObject({ code: 8 });
  });

  test("VXLAN ids are unique while in use and come back afterwards", async () => {
    using node = new FakeSandboxes();
    await Promise.all(["a", "b", "c"].map((id) => running(node, id)));
    const ids = node.journal.sandboxes().map((s) => s.vxlanId);
    expect(new Set(ids)).toEqual(new Set([555_000, 555_001, 555_002]));
    await node.manager.stop("b", never);
    await node.manager.create(node.request("d"), never);
    expect(node.journal.sandbox("d")?.vxlanId).toBe(555_001);
  });
});

describe("deleting", () => {
  test("a failed delete is tried again with growing pauses until the VM is gone, and keeps its slot", async () => {
    using node = new FakeSandboxes({ limit: 1, limitWaitMs: 0 });
    await running(node, "s1");
    node.cloud.failNext("delete", ...Array.from({ length: 5 }, () => unavailable("503")));
    const stop = node.manager.stop("s1", never);
    await settle();
    expect(node.journal.vms()).toMatchObject([{ phase: "deleting", deleteAttempts: 1, lastError: "503" }]);
    await expect(node.manager.create(node.request("s2"), never)).rejects.toMatchObject({ code: 8 });
    await node.clock.advance(60_000);
    await stop;
    expect(node.residue()).toEqual([]);
  });

  test("a tunnel that cannot be removed does not keep the VM, and is tried again", async () => {
    using node = new FakeSandboxes();
    await running(node, "s1");
    node.node.failNextTunnel(networkFailed("busy"));
    const stop = node.manager.stop("s1", never);
    await settle();
    expect(node.cloud.vms.size).toBe(0);
    expect(node.node.tunnels.size).toBe(1);
    await node.clock.advance(1000);
    await stop;
    expect(node.residue()).toEqual([]);
  });

  test("StopVM works while the shim-proxy is away", async () => {
    using node = new FakeSandboxes();
    await running(node, "s1");
    node.proxy.away = true;
    await node.manager.stop("s1", never);
    expect(node.cloud.vms.size).toBe(0);
    expect(node.journal.sandboxes()).toEqual([]);
  });
});

describe("across restarts", () => {
  test("a StartVM cut by an orderly end goes on with the same VM", async () => {
    using node = new FakeSandboxes();
    await node.manager.create(node.request("s1"), never);
    node.cloud.hold("create-after");
    const cut = node.manager.start("s1", never);
    cut.catch(() => undefined);
    await settle();
    await node.restart();
    await expect(cut).rejects.toThrow(/shutting down/);
    expect(node.journal.sandbox("s1")?.phase).toBe("starting");
    node.cloud.hold("create-after")();
    await node.manager.start("s1", never);
    expect(node.cloud.made).toBe(1);
    expect(node.journal.sandbox("s1")?.phase).toBe("running");
  });

  test("a stop that was recorded goes on after a restart", async () => {
    using node = new FakeSandboxes();
    await running(node, "s1");
    node.cloud.hold("delete");
    void node.manager.stop("s1", never).catch(() => undefined);
    await settle();
    await node.restart();
    node.cloud.hold("delete")();
    for (const record of node.journal.sandboxes()) node.manager.resume(record);
    await settle();
    expect(node.residue()).toEqual([]);
  });

  test("a failed StartVM is answered the same way by the next control plane", async () => {
    using node = new FakeSandboxes();
    await node.manager.create(node.request("s1"), never);
    node.cloud.failNext("create", capacityExhausted("no room for Standard_X in zone 1"));
    await expect(node.manager.start("s1", never)).rejects.toMatchObject({ code: 8 });
    await node.restart();
    await expect(node.manager.start("s1", never)).rejects.toMatchObject({
      code: 8,
      message: "no room for Standard_X in zone 1",
    });
    expect(node.cloud.made).toBe(0);
  });
});

describe("PodVMInfo", () => {
  test("waits for the VM's id, and is not found without waiting", async () => {
    using node = new FakeSandboxes();
    await node.manager.create(node.request("s1", "web"), never);
    await expect(node.manager.vmId("default", "web", false, never)).rejects.toMatchObject({ code: 5 });
    const waiting = node.manager.vmId("default", "web", true, never);
    await settle();
    await node.manager.start("s1", never);
    expect(await waiting).toBe("id-1");
  });

  test("a waiting call ends with its deadline", async () => {
    using node = new FakeSandboxes();
    const waiting = node.manager.vmId("default", "web", true, node.clock.timeout(1000));
    waiting.catch(() => undefined);
    await node.clock.advance(1000);
    await expect(waiting).rejects.toMatchObject({ name: "TimeoutError" });
  });
});
