import { expect, test } from "vitest";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";
import { LiveValue } from "../platform/index.ts";
import { EffectiveConfig } from "./effective-config.ts";

function setUp(clusterId: string) {
  using node = new FakeSandboxes({ owner: { clusterId, nodeName: "n" }, limit: 10 });
  const base = new LiveValue(node.config);
  const effective = new EffectiveConfig(base);
  const told: number[] = [];
  effective.onChange(() => told.push(effective.current().limit));
  return { base, effective, told };
}

test("what the cluster tells completes the settings, and whoever listens is told", () => {
  const { effective, told } = setUp("");
  const { owner } = effective;
  effective.learn({ clusterId: "of kube-system" });
  effective.learn({ nodeLimit: 3 });
  expect(effective.current()).toMatchObject({
    limit: 3,
    owner: { clusterId: "of kube-system", nodeName: "n" },
  });
  expect(told).toEqual([10, 3]);
  expect(owner).toEqual({ clusterId: "of kube-system", nodeName: "n" });
});

test("a CLUSTER_ID of the operator's goes before it", () => {
  const { effective } = setUp("mine");
  effective.learn({ clusterId: "of kube-system" });
  expect(effective.current().owner.clusterId).toBe("mine");
});

test("settings that change keep the Node's own limit, which ends with its annotation", () => {
  const { base, effective, told } = setUp("");
  effective.learn({ nodeLimit: 3 });
  base.set({ ...base.current(), limit: 20 });
  expect(effective.current().limit).toBe(3);
  expect(effective.configuredLimit).toBe(20);
  effective.learn({ nodeLimit: undefined });
  expect(effective.current().limit).toBe(20);
  expect(told).toEqual([3, 3, 20]);
});
