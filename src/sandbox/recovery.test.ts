import { expect, test } from "vitest";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";
import { settleOwedStop } from "./recovery.ts";

const never = new AbortController().signal;

test("an owed stop is journaled before the shim-proxy may forget it", async () => {
  using node = new FakeSandboxes();
  await settleOwedStop(node, { sandboxId: "s1", reason: "caller" }, never);
  expect(node.journal.isStopped("s1")).toBe(true);
  expect(node.proxy.acknowledged).toEqual(["s1"]);
});

test("an owed stop that cannot be journaled stays owed", async () => {
  using node = new FakeSandboxes();
  node.journal.withDatabase((db) => db.exec("PRAGMA query_only = ON"));
  await expect(settleOwedStop(node, { sandboxId: "s1", reason: "caller" }, never)).rejects.toMatchObject({
    code: 15,
  });
  expect(node.proxy.acknowledged).toEqual([]);
});

test("an owed stop of what can be no sandbox is forgotten, so that it cannot keep a node from recovering", async () => {
  using node = new FakeSandboxes();
  await settleOwedStop(node, { sandboxId: "../../etc", reason: "caller" }, never);
  expect(node.proxy.acknowledged).toEqual(["../../etc"]);
});
