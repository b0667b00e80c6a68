import { type KubernetesObject, PatchStrategy, setHeaderOptions, type V1Node } from "@kubernetes/client-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clusterChecks, examine, type Finding } from "../../src/doctor/index.ts";
import { ClusterClient } from "../../src/kubernetes/client/index.ts";
import { type Clock, silentLog, systemClock } from "../../src/platform/index.ts";
import type { Cluster } from "./cluster.ts";

const never = new AbortController().signal;
const NODE = "doctored";
const RESOURCE = "kata.peerpods.io/vm";
const CLASS = "doctored-class";
const HOUR_MS = 3_600_000;
const merge = setHeaderOptions("Content-Type", PatchStrategy.MergePatch);

const node: KubernetesObject & { readonly status: object } = {
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: NODE },
  status: { capacity: { cpu: "4" } },
};
const runtimeClass: KubernetesObject & { readonly handler: string } = {
  apiVersion: "node.k8s.io/v1",
  kind: "RuntimeClass",
  metadata: { name: CLASS },
  handler: "kata-remote",
};

interface Asked {
  readonly kubeconfig?: string;
  readonly clock?: Clock;
  readonly limit?: number;
  readonly runtimeClass?: string;
}

async function judge(cluster: Cluster, asked: Asked): Promise<Record<string, Finding>> {
  const file = asked.kubeconfig ?? cluster.kubeconfigFile;
  const deps = { clock: systemClock, log: silentLog, userAgent: "doctor-test" };
  using client = await ClusterClient.open(deps, { kind: "kubeconfig", file });
  const findings = await examine(
    clusterChecks({
      client,
      clock: asked.clock ?? systemClock,
      nodeName: NODE,
      runtimeClass: asked.runtimeClass ?? CLASS,
      resource: RESOURCE,
      limit: asked.limit ?? 10,
    }),
    never,
  );
  return Object.fromEntries(findings.map((finding) => [finding.check, finding]));
}

/** What `doctor` says of a cluster. */
export function doctorCases(cluster: () => Cluster): void {
  describe("the doctor", () => {
    const made = new AsyncDisposableStack();
    beforeAll(async () => {
      made.use(await cluster().api.create([node, runtimeClass]));
    });
    afterAll(() => made.disposeAsync());

    test("finds an answering API server, a clock that agrees, the runtime class, and a node that advertises nothing", async () => {
      const found = await judge(cluster(), {});
      expect(found["API server"]).toMatchObject({ level: "ok" });
      expect(found["clock"]).toMatchObject({ level: "ok" });
      expect(found["runtime class"]).toMatchObject({ level: "ok", text: `${CLASS} has handler kata-remote` });
      expect(found["node resource"]).toMatchObject({ level: "warning" });
    });

    test("is content once the node advertises the limit, and not with another number", async () => {
      await cluster().api.core.patchNodeStatus(
        { name: NODE, body: { status: { capacity: { [RESOURCE]: "10" } } } },
        merge,
      );
      await cluster().api.waitFor<V1Node>(
        "/api/v1/nodes",
        (seen) => seen.metadata?.name === NODE && seen.status?.capacity?.[RESOURCE] === "10",
      );
      expect((await judge(cluster(), {}))["node resource"]).toMatchObject({ level: "ok" });
      expect((await judge(cluster(), { limit: 7 }))["node resource"]).toMatchObject({
        level: "warning",
        text: expect.stringContaining("the limit is 7"),
      });
    });

    test("tells a clock that is an hour off", async () => {
      const clock = { ...systemClock, wallMs: () => systemClock.wallMs() - HOUR_MS };
      expect((await judge(cluster(), { clock }))["clock"]).toMatchObject({
        level: "error",
        text: expect.stringMatching(/differs from the API server's by 3[56]\d\d s/),
      });
    });

    test("tells a runtime class that is missing", async () => {
      expect((await judge(cluster(), { runtimeClass: "no-such-class" }))["runtime class"]).toMatchObject({
        level: "error",
      });
    });

    test("says what it may not look at, without rights of its own", async () => {
      const { api } = cluster();
      const namespace = await api.createNamespace("doctor");
      const kubeconfig = await api.kubeconfigOf({ namespace, serviceAccount: "default" });
      const found = await judge(cluster(), { kubeconfig });
      expect(found["API server"]).toMatchObject({
        level: "ok",
        text: expect.stringContaining(`system:serviceaccount:${namespace}:default`),
      });
      expect(found["runtime class"]).toMatchObject({ level: "info" });
      expect(found["node resource"]).toMatchObject({ level: "warning" });
    });
  });
}
