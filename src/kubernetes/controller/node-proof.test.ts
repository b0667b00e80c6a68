import * as v from "valibot";
import { expect, test } from "vitest";
import { NodeProof } from "./node-proof.ts";
import { isHealthy, LEAN_NODES, type NodeObject, nodeState } from "./resources.ts";
import { TestBench } from "./test-cluster.ts";

const never = new AbortController().signal;

test("a node is proven gone by two looks a minute apart, and one that finds it begins anew", async () => {
  const bench = new TestBench();
  const proof = new NodeProof(bench.cluster.client, bench.clock);
  const look = async (afterMs: number) => {
    await bench.clock.advance(afterMs);
    return await proof.look("n1", never);
  };
  expect(await look(0)).toEqual({ state: "absent", isProven: false });
  bench.node("n1");
  expect(await look(30_000)).toEqual({ state: "alive", isProven: false });
  bench.cluster.remove("nodes", "n1");
  expect(await look(30_000)).toEqual({ state: "absent", isProven: false });
  expect(await look(59_999)).toEqual({ state: "absent", isProven: false });
  expect(await look(1)).toEqual({ state: "absent", isProven: true });
  bench.node("n1", ["node.kubernetes.io/out-of-service"]);
  expect(await look(1)).toEqual({ state: "out-of-service", isProven: true });
  proof.keepOnly(new Set());
  expect((await look(0)).isProven).toBe(false);
});

const read = (spec: unknown): NodeObject =>
  v.parse(LEAN_NODES.schema, {
    metadata: { name: "n1", uid: "u", resourceVersion: "1", labels: { a: "b" } },
    ...(spec !== undefined && { spec }),
    status: { images: ["many"] },
  });

test("no Node is left out of a list for what it says, and only what is needed of it is kept", () => {
  for (const spec of [
    undefined,
    null,
    {},
    "strange",
    { taints: null },
    { taints: [{ key: 5 }] },
    { taints: "x" },
  ]) {
    expect(nodeState(read(spec)), JSON.stringify(spec)).toBe("alive");
  }
  const taints = [{ key: "node.kubernetes.io/out-of-service", value: "x", effect: "NoExecute" }];
  expect(nodeState(read({ taints }))).toBe("out-of-service");
  expect(read({ taints, podCIDR: "10.0.0.0/24" })).toEqual({
    metadata: { name: "n1", uid: "u", resourceVersion: "1" },
    spec: { taints: [{ key: "node.kubernetes.io/out-of-service" }] },
  });
  expect(isHealthy(read({}))).toBe(true);
  expect(isHealthy(read({ taints: [{ key: "node.kubernetes.io/not-ready" }] }))).toBe(false);
  expect(isHealthy(undefined)).toBe(false);
});
