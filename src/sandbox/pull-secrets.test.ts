import { expect, test } from "vitest";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";
import { Secret } from "../platform/index.ts";
import { SandboxManager } from "./manager.ts";
import type { PodRef } from "./notices.ts";

const never = new AbortController().signal;

function withAuth(node: FakeSandboxes, authJson: string | undefined) {
  const asked: PodRef[] = [];
  const manager = new SandboxManager({
    ...node.deps,
    runtime: { podUid: async () => "uid-1", list: async () => new Map() },
    pullSecrets: {
      authJson: async (pod) => {
        asked.push(pod);
        return authJson === undefined ? undefined : new Secret(authJson);
      },
    },
  });
  return { manager, asked };
}

test("the pod's pull secrets go into the VM's user data, asked for by the pod's UID", async () => {
  using node = new FakeSandboxes();
  const { manager, asked } = withAuth(node, '{"auths":{"r.example":{"auth":"eA=="}}}');
  await manager.create(node.request("s1"), never);
  expect(node.journal.sandbox("s1")?.userData?.reveal()).toContain(
    '  - path: /run/peerpod/auth.json\n    content: |\n      {"auths":{"r.example":{"auth":"eA=="}}}\n',
  );
  expect(asked).toMatchObject([{ podNamespace: "default", podName: "pod-s1", podUid: "uid-1" }]);
});

test("a pod without pull secrets has no auth.json", async () => {
  using node = new FakeSandboxes();
  await withAuth(node, undefined).manager.create(node.request("s1"), never);
  expect(node.journal.sandbox("s1")?.userData?.reveal()).not.toContain("auth.json");
});

test("pull secrets that the VM would not take are refused with their size, before there is a VM", async () => {
  using node = new FakeSandboxes();
  const text = JSON.stringify({ auths: { r: { auth: "x".repeat(12_288) } } });
  const { manager } = withAuth(node, text);
  await expect(manager.create(node.request("s1"), never)).rejects.toMatchObject({
    kind: "too-large",
    message: expect.stringContaining(`${text.length} bytes`),
  });
  expect(node.cloud.made).toBe(0);
});
