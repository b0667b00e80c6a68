import { expect, test } from "vitest";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";

const never = new AbortController().signal;

test("a limit that is raised lets in a CreateVM that waits for a slot", async () => {
  using node = new FakeSandboxes({ limit: 1 });
  await node.manager.create(node.request("s1"), never);
  await node.manager.start("s1", never);
  const release = node.cloud.hold("delete");
  const stopped = node.manager.stop("s1", never);
  const created = node.manager.create(node.request("s2"), never);
  expect(node.journal.usage()).toEqual({ used: 1, deleting: 1 });
  node.live.set({ ...node.config, limit: 2 });
  expect(await created).toContain("/s2/");
  release();
  await stopped;
});

test("a limit that is lowered ends no pod and refuses the next", async () => {
  using node = new FakeSandboxes({ limit: 2 });
  await node.manager.create(node.request("s1"), never);
  await node.manager.start("s1", never);
  node.live.set({ ...node.config, limit: 1 });
  await expect(node.manager.create(node.request("s2"), never)).rejects.toThrow(
    /may run 1 pod VMs .* and has 1/,
  );
  expect(node.journal.sandbox("s1")?.phase).toBe("running");
});
