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

test("calls are told what is wrong with a journal that cannot be read, and served once it can", async () => {
  using node = new FakeSandboxes();
  await node.manager.create(node.request("s1"), never);
  node.journal.withDatabase((db) => db.exec("UPDATE sandboxes SET phase = 'dancing'"));
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
  const control = new ControlPlane({ ...node.deps, proxy: session }, session, {
    bootId: "boot-1",
    podsDirExisted: true,
  });
  control.begin();
  await expect(control.ready(never)).rejects.toMatchObject({
    code: 15,
    message: expect.stringContaining("journal check"),
  });
  node.journal.withDatabase((db) => db.exec("DELETE FROM sandboxes"));
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
  await proxy.close();
  rmSync(runDir, { recursive: true, force: true });
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
