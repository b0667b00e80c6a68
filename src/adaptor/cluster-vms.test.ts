import { expect, test } from "vitest";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";
import { podVmsOf } from "./cluster-vms.ts";

test("a VM of the warm pool is a pod's only once it was told so: until then it may be replaced", () => {
  using node = new FakeSandboxes();
  const { journal } = node;
  journal.pool.intend({ name: "p", kind: "default", provider: "fake", tags: {}, limit: -1 }, () => 0);
  journal.pool.idKnown("p", "id-1");
  journal.pool.waiting("p", ["10.0.0.1"]);
  const { podName, podNamespace, netns } = node.request("s1");
  const pod = { id: "s1", podName, podNamespace, netns, requestJson: "{}", vmName: "own" };
  journal.reserve({ ...pod, vxlanMinId: 1, limit: -1, poolKind: "default", mayYield: false });
  expect(podVmsOf(journal)).toEqual([]);
  journal.userDataGiven("p");
  expect(podVmsOf(journal)).toMatchObject([{ sandboxId: "s1", vmName: "p", instanceId: "id-1" }]);
});
