import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { settle } from "../../test/fakes/fake-clock.ts";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";
import { networkFailed } from "../errors/index.ts";
import { silentLog, systemClock } from "../platform/index.ts";
import { runShimProxy } from "../shim-proxy/server.ts";
import { ControlPlane } from "./control-plane.ts";
import { ProxySession } from "./proxy-session.ts";

const never = new AbortController().signal;

/** A control plane that attaches to a real shim-proxy, and otherwise works with the fake one. */
async function withProxy(node: FakeSandboxes): Promise<{ control: ControlPlane } & AsyncDisposable> {
  const runDir = mkdtempSync(join(tmpdir(), "control-"));
  const proxy = await runShimProxy(
    { runDir, hypervisorSocket: join(runDir, "hypervisor.sock") },
    { clock: systemClock, log: silentLog },
  );
  const session = new ProxySession(
    { clock: systemClock, log: silentLog },
    {
      controlSocket: join(runDir, "proxy.sock"),
      frameSocket: join(runDir, "frames.sock"),
      epoch: 1,
      programVersion: "test",
      waitMs: 60_000,
    },
  );
  const control = new ControlPlane(node.deps, session, {
    bootId: "boot-1",
    podsDirExisted: true,
  });
  return {
    control,
    async [Symbol.asyncDispose]() {
      await control.end(AbortSignal.timeout(5000), () => undefined);
      await proxy.close();
      rmSync(runDir, { recursive: true, force: true });
    },
  };
}

test("calls are told what is wrong with a journal that cannot be used, and served once it can", async () => {
  using node = new FakeSandboxes();
  await using it = await withProxy(node);
  const { control } = it;
  control.begin();
  node.journal.withDatabase((db) => db.exec("PRAGMA query_only = ON"));
  await expect(control.ready(never)).rejects.toMatchObject({
    code: 15,
    message: expect.stringContaining("cannot write to the journal"),
  });
  node.journal.withDatabase((db) => db.exec("PRAGMA query_only = OFF"));
  await expect
    .poll(
      () =>
        control.ready(never).then(
          () => "ready",
          () => "not",
        ),
      { timeout: 30_000 },
    )
    .toBe("ready");
  await control.end(AbortSignal.timeout(5000), () => undefined);
  await expect(control.ready(never)).rejects.toMatchObject({ code: 14 });
});

test("a row of the journal that cannot be read stops its own sandbox only, until that is stopped", async () => {
  using node = new FakeSandboxes({ limit: 3 });
  for (const id of ["s1", "s2"]) {
    await node.manager.create(node.request(id), never);
    await node.manager.start(id, never);
  }
  node.journal.setMeta("boot_id", "boot-1");
  const [lost] = node.cloud.vms.keys();
  node.journal.withDatabase((db) => {
    db.exec("UPDATE sandboxes SET phase = 'dancing' WHERE id = 's1'");
    db.exec("UPDATE vms SET tags_json = 'no JSON' WHERE sandbox_id = 's1'");
  });
  const said: string[] = [];
  node.deps = { ...node.deps, log: { ...silentLog, error: (text) => said.push(text) } };
  await using it = await withProxy(node);
  it.control.begin();
  const manager = await it.control.ready(never);
  expect(said).toEqual([
    expect.stringMatching(/row s1 .*sandboxes .*column phase.*Delete its pod/),
    expect.stringMatching(/row podvm-.* vms .*column tags_json/),
  ]);
  await expect(manager.start("s1", never)).rejects.toMatchObject({ code: 15 });
  await expect(manager.create(node.request("s1"), never)).rejects.toMatchObject({ code: 15 });
  await manager.create(node.request("s3"), never);
  expect(node.journal.usage().used).toBe(3);
  await expect(manager.create(node.request("s4"), never)).rejects.toMatchObject({ code: 8 });
  expect([...node.cloud.vms.keys()]).toContain(lost);
  expect(node.journal.sandbox("s2")?.phase).toBe("running");
  await manager.stop("s1", never);
  expect([...node.cloud.vms.keys()]).not.toContain(lost);
  expect(node.journal.setAside.list()).toEqual([]);
  await manager.create(node.request("s4"), never);
});

test("a start whose failure cannot be journaled loses no VM: it goes when the disk has room again", async () => {
  using node = new FakeSandboxes();
  await node.manager.create(node.request("s1"), never);
  const release = node.cloud.hold("create-after");
  const start = node.manager.start("s1", never);
  start.catch(() => undefined);
  await settle();
  node.node.failNextTunnel(networkFailed("no route"));
  const startFailed = node.journal.startFailed.bind(node.journal);
  let failures = 3;
  node.journal.startFailed = (...args) => {
    if (failures-- > 0) throw new Error("disk full");
    startFailed(...args);
  };
  release();
  await expect(start).rejects.toThrow("no route");
  expect(node.cloud.vms.size).toBe(1);
  await node.clock.advance(60_000);
  expect(node.cloud.vms.size).toBe(0);
  await node.manager.stop("s1", never);
  expect(node.residue()).toEqual([]);
});
