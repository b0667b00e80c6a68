import {
  CoreV1Api,
  KubeConfig,
  type KubernetesObject,
  PatchStrategy,
  setHeaderOptions,
} from "@kubernetes/client-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Cluster, NODE_NAMES } from "./cluster.ts";
import type { InstalledChart } from "./installed-chart.ts";

const SETUP_TIMEOUT_MS = 120_000;

const peer = (namespace: string, name: string, runtimeClassName?: string) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace },
  spec: {
    ...(runtimeClassName === undefined ? {} : { runtimeClassName }),
    containers: [{ name: "main", image: "none.invalid/none" }],
  },
});

interface Checked extends KubernetesObject {
  readonly status?: { readonly observedGeneration?: number; readonly typeChecking?: object };
}

/** What the API server thinks of the expressions themselves. */
export function expressionCases(cluster: () => Cluster, chart: () => InstalledChart): void {
  test("the policies' expressions are right for the objects that they are about", async () => {
    await chart().apply({ policies: { confinePods: { namespaces: ["a"], namespaceSelector: { b: "c" } } } });
    const policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    for (const name of ["peerpods-confine-pods", "peerpods-protect-nodes"]) {
      const { status } = await cluster().api.waitFor<Checked>(
        policies,
        ({ metadata, status: seen }) =>
          metadata?.name === name && seen?.observedGeneration === metadata.generation,
      );
      expect(status?.typeChecking, name).toEqual({});
    }
    await chart().apply({ policies: {} });
  });
}

/** Where peer pods may run. */
export function podPolicyCases(cluster: () => Cluster, chart: () => InstalledChart): void {
  describe("the policy that confines peer pods", () => {
    let chosen = "";
    let labelled = "";
    let other = "";

    beforeAll(async () => {
      const { api } = cluster();
      chosen = await api.createNamespace("chosen");
      labelled = await api.createNamespace("labelled", { peers: "yes" });
      other = await api.createNamespace("other");
      // Nobody answers for the webhook here, and it is asked first.
      await chart().apply({ webhook: { enabled: false } });
    }, SETUP_TIMEOUT_MS);

    const refusal = (error: unknown): string => String(error);

    test("keeps them out of the namespaces that the webhook leaves alone", async () => {
      const { api } = cluster();
      await api.waitForAdmission(peer("kube-system", "peer", "kata-remote"), ({ error }) =>
        refusal(error).includes("may not run in namespace kube-system, where they are not counted"),
      );
      await api.waitForAdmission(peer(chart().namespace, "peer", "kata-remote"), ({ error }) =>
        refusal(error).includes("where they are not counted"),
      );
      await api.waitForAdmission(peer(other, "peer", "kata-remote"), ({ object }) => object !== undefined);
      await api.objects.create(peer(chart().namespace, "ordinary"), undefined, "All");
    });

    test("lets them into namespaces of a list only", async () => {
      const { api } = cluster();
      await chart().apply({ policies: { confinePods: { namespaces: [chosen, "later"] } } });
      await api.waitForAdmission(peer(other, "peer", "kata-remote"), ({ error }) =>
        refusal(error).includes(`may run in chosen namespaces only, and ${other} is not one of them`),
      );
      await api.objects.create(peer(chosen, "peer", "kata-remote"), undefined, "All");
      await api.objects.create(peer(other, "ordinary"), undefined, "All");
    });

    test("lets them into namespaces with a label only", async () => {
      const { api } = cluster();
      await chart().apply({ policies: { confinePods: { namespaceSelector: { peers: "yes" } } } });
      await api.waitForAdmission(peer(chosen, "peer", "kata-remote"), ({ error }) =>
        refusal(error).includes("may run in chosen namespaces only"),
      );
      await api.objects.create(peer(labelled, "peer", "kata-remote"), undefined, "All");
    });

    afterAll(async () => {
      await chart().apply({ webhook: {}, policies: {} });
    }, SETUP_TIMEOUT_MS);
  });
}

const json = setHeaderOptions("Content-Type", PatchStrategy.JsonPatch);
const merge = setHeaderOptions("Content-Type", PatchStrategy.MergePatch);
const OWNER = "kata.peerpods.io/caa-owner";
const VM = "kata.peerpods.io/vm";

/** What a compromised adaptor may do to nodes: nothing but what it does anyway. */
export function nodePolicyCases(cluster: () => Cluster, chart: () => InstalledChart): void {
  describe("the policy that protects nodes", () => {
    const [mine, other] = NODE_NAMES;
    let nodes: AsyncDisposable | undefined;
    let adaptor: CoreV1Api | undefined;
    const core = (): CoreV1Api => {
      if (adaptor === undefined) throw new Error("there is no adaptor yet");
      return adaptor;
    };

    beforeAll(async () => {
      const { api } = cluster();
      const { namespace } = chart();
      const status = {
        capacity: { cpu: "4", "example.com/thing": "2" },
        allocatable: { cpu: "4" },
        conditions: [{ type: "Ready", status: "True" }],
        addresses: [{ type: "InternalIP", address: "192.0.2.1" }],
        images: [{ names: ["one"], sizeBytes: 5 }],
      };
      const node = (name: string) => ({
        apiVersion: "v1",
        kind: "Node",
        metadata: { name, labels: { pool: "a" }, annotations: { note: "1" } },
        status,
      });
      nodes = await api.create([node(mine), node(other)]);
      const containers = [{ name: "main", image: "none.invalid/none" }];
      const spec = { nodeName: mine, serviceAccountName: "cloud-api-adaptor", containers };
      await api.core.createNamespacedPod({ namespace, body: { metadata: { name: "played" }, spec } });
      const config = new KubeConfig();
      const identity = { namespace, serviceAccount: "cloud-api-adaptor", pod: "played" };
      config.loadFromFile(await api.kubeconfigOf(identity));
      adaptor = config.makeApiClient(CoreV1Api);
    }, SETUP_TIMEOUT_MS);

    afterAll(async () => {
      await nodes?.[Symbol.asyncDispose]();
    });

    const annotate = (name: string, annotations: object, more: object = {}) =>
      core().patchNode({ name, body: { metadata: { annotations }, ...more }, dryRun: "All" }, merge);
    const setStatus = (name: string, status: object) =>
      core().patchNodeStatus({ name, body: { status }, dryRun: "All" }, merge);

    test("the mark of the owner and the capacity of the own node can be set and taken back", async () => {
      await core().patchNode({ name: mine, body: { metadata: { annotations: { [OWNER]: "uid" } } } }, merge);
      const path = `/status/capacity/${VM.replace("/", "~1")}`;
      const test = { op: "test", path: `/metadata/annotations/${OWNER.replace("/", "~1")}`, value: "uid" };
      const added = await core().patchNodeStatus(
        { name: mine, body: [test, { op: "add", path, value: "10" }] },
        json,
      );
      expect(added.status?.capacity).toEqual({ cpu: "4", "example.com/thing": "2", [VM]: "10" });
      const removed = await core().patchNodeStatus(
        { name: mine, body: [test, { op: "remove", path }] },
        json,
      );
      expect(removed.status?.capacity).toEqual({ cpu: "4", "example.com/thing": "2" });
      await core().patchNode({ name: mine, body: { metadata: { annotations: { [OWNER]: null } } } }, merge);
    });

    const DENIED: readonly (readonly [string, () => Promise<unknown>, RegExp])[] = [
      ["another node's mark", () => annotate(other, { [OWNER]: "uid" }), /its own node only/],
      ["another node's capacity", () => setStatus(other, { capacity: { [VM]: "1" } }), /its own node only/],
      ["another annotation", () => annotate(mine, { note: "2" }), /may change the annotation/],
      ["a new annotation", () => annotate(mine, { more: "2" }), /may change the annotation/],
      ["an annotation's removal", () => annotate(mine, { note: null }), /may change the annotation/],
      [
        "a label",
        () => core().patchNode({ name: mine, body: { metadata: { labels: { pool: "b" } } } }, merge),
        /may change the annotation/,
      ],
      [
        "a finalizer",
        () => core().patchNode({ name: mine, body: { metadata: { finalizers: ["a.example/b"] } } }, merge),
        /may change the annotation/,
      ],
      [
        "a taint",
        () => annotate(mine, {}, { spec: { taints: [{ key: "a", effect: "NoExecute" }] } }),
        /node's spec/,
      ],
      ["being unschedulable", () => annotate(mine, {}, { spec: { unschedulable: true } }), /node's spec/],
      [
        "another capacity",
        () => setStatus(mine, { capacity: { cpu: "8" } }),
        /capacity an adaptor may change/,
      ],
      [
        "a new capacity",
        () => setStatus(mine, { capacity: { "example.com/new": "8" } }),
        /capacity an adaptor may change/,
      ],
      [
        "a capacity's removal",
        () => setStatus(mine, { capacity: { "example.com/thing": null } }),
        /capacity an adaptor may change/,
      ],
      [
        "what is allocatable",
        () => setStatus(mine, { allocatable: { cpu: "8" } }),
        /may change the capacity only/,
      ],
      ["a condition", () => setStatus(mine, { conditions: [] }), /may change the capacity only/],
      ["an address", () => setStatus(mine, { addresses: [] }), /may change the capacity only/],
      ["the images", () => setStatus(mine, { images: [] }), /may change the capacity only/],
    ];

    test.each(DENIED)("refused: %s", async (_, change, why) => {
      await expect(change()).rejects.toThrow(why);
    });

    test("without a pod of that node behind its token nothing can be changed", async () => {
      const config = new KubeConfig();
      const identity = { namespace: chart().namespace, serviceAccount: "cloud-api-adaptor" };
      config.loadFromFile(await cluster().api.kubeconfigOf(identity));
      const stolen = config.makeApiClient(CoreV1Api);
      const body = { metadata: { annotations: { [OWNER]: "uid" } } };
      await expect(stolen.patchNode({ name: mine, body }, merge)).rejects.toThrow(/its own node only/);
    });

    test("others are not hindered: a kubelet changes its status, an administrator all", async () => {
      const kubelet = new KubeConfig();
      kubelet.loadFromFile(await cluster().api.kubeconfigOfNode(mine));
      const body = { status: { conditions: [{ type: "Ready", status: "False" }] } };
      await kubelet.makeApiClient(CoreV1Api).patchNodeStatus({ name: mine, body, dryRun: "All" }, merge);
      await cluster().api.core.patchNode(
        { name: other, body: { metadata: { labels: { pool: "c" } } }, dryRun: "All" },
        merge,
      );
    });
  });
}
