import {
  type KubernetesObject,
  PatchStrategy,
  setHeaderOptions,
  type V1DaemonSet,
  type V1Pod,
} from "@kubernetes/client-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../real/service.ts";
import type { Cluster } from "./cluster.ts";
import { ControllerSite, missingOnes } from "./controller-site.ts";

const FINALIZER = "peer.pod/finalizer";
const NODE_LABEL = "confidentialcontainers.org/node";
const LEASE = "33f6c5d6.confidentialcontainers.org";

/** Long enough for a lease that a killed leader left, and a look after it. */
const SOON_MS = 60_000;
/** A node must be gone in two looks a minute apart. */
const TWO_LOOKS_MS = 150_000;

const mergePatch = setHeaderOptions("Content-Type", PatchStrategy.MergePatch);

const nodeObject = (name: string, labels: Readonly<Record<string, string>> = {}): KubernetesObject => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name, labels },
});

/** Controllers in processes of their own, on a real API server with its garbage collector and its DaemonSet controller. */
export function controllerCases(cluster: () => Cluster): void {
  describe("the PeerPod controller", () => {
    let site: ControllerSite;
    let apps: string;

    beforeAll(async () => {
      site = await ControllerSite.start(cluster());
      apps = await cluster().api.createNamespace("apps");
      // Looked at all the time that the other cases take.
      await site.vm("podvm-lost", { node: "never-was", sandbox: "lost", pod: "lost", namespace: apps });
      await site.startController("controller-a");
      await site.startController("controller-b");
    }, 180_000);

    afterAll(async () => {
      await site?.[Symbol.asyncDispose]();
    }, 60_000);

    /** A failure without what the controllers said helps nobody. */
    const eventually = async (
      what: string,
      ms: number,
      probe: () => Promise<boolean> | boolean,
    ): Promise<void> => {
      try {
        await until(what, ms, async () => probe());
      } catch (error) {
        throw new Error(`${String(error)}\n${await site.logs()}`);
      }
    };
    const vmGone = (name: string, ms = SOON_MS): Promise<void> =>
      eventually(`VM ${name} gone`, ms, () => !site.hasVm(name));

    /** A pod with its VM and PeerPod; with `labelled`, as our adaptor makes them. */
    async function peerPod(
      name: string,
      node: string,
      options: { labelled?: boolean; finalizers?: readonly string[] } = {},
    ): Promise<void> {
      const { api } = cluster();
      const spec = { nodeName: node, containers: [{ name: "main", image: "none.invalid/none" }] };
      const pod = await api.core.createNamespacedPod({ namespace: apps, body: { metadata: { name }, spec } });
      const sandbox = `sandbox-of-${name}`;
      const instanceID = await site.vm(`podvm-${name}`, { node, sandbox, pod: name, namespace: apps });
      const labels: Record<string, string> = options.labelled
        ? { [NODE_LABEL]: node, "confidentialcontainers.org/sandbox": sandbox }
        : {};
      const made: KubernetesObject & Record<string, unknown> = {
        apiVersion: "confidentialcontainers.org/v1alpha1",
        kind: "PeerPod",
        metadata: {
          name: `${name}-resource-abcde`,
          namespace: apps,
          labels,
          finalizers: [...(options.finalizers ?? []), FINALIZER],
          ownerReferences: [
            { apiVersion: "v1", kind: "Pod", name, uid: pod.metadata?.uid ?? "", controller: true },
          ],
        },
        spec: { cloudProvider: "mock", instanceID },
      };
      await api.objects.create(made);
    }

    /** As the kubelet does when a pod has ended. */
    const removePod = async (name: string): Promise<void> => {
      await cluster().api.core.deleteNamespacedPod({ name, namespace: apps, gracePeriodSeconds: 0 });
    };

    const findPeerPod = async (name: string): Promise<KubernetesObject | undefined> => {
      const list = await cluster().api.objects.list("confidentialcontainers.org/v1alpha1", "PeerPod", apps);
      return list.items.find((item) => item.metadata?.name === `${name}-resource-abcde`);
    };

    const leader = async (): Promise<string> => {
      const lease = await cluster().api.objects.read({
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name: LEASE, namespace: site.namespace },
      });
      return String(Object(lease).spec?.holderIdentity ?? "").replace(/_.*/, "");
    };

    test("of two one leads, and the pod's end takes the VM and our finalizer, but no other's", async () => {
      expect(["controller-a", "controller-b"]).toContain(await leader());
      await using _node = await cluster().api.create([nodeObject("controller-1")]);
      await peerPod("ends", "controller-1", { finalizers: ["example.com/mine"] });
      await removePod("ends");
      await vmGone("podvm-ends");
      await eventually("the finalizer gone", SOON_MS, async () => {
        return (await findPeerPod("ends"))?.metadata?.finalizers?.includes(FINALIZER) === false;
      });
      expect((await findPeerPod("ends"))?.metadata?.finalizers).toEqual(["example.com/mine"]);
      await cluster().api.objects.patch(
        {
          apiVersion: "confidentialcontainers.org/v1alpha1",
          kind: "PeerPod",
          metadata: { name: "ends-resource-abcde", namespace: apps, finalizers: [] },
        },
        undefined,
        undefined,
        undefined,
        undefined,
        PatchStrategy.MergePatch,
      );
      await eventually("the PeerPod gone", SOON_MS, async () => (await findPeerPod("ends")) === undefined);
    }, 180_000);

    test("a living node's adaptor is left its VM, NotReady or not, until the node is gone", async () => {
      const { api } = cluster();
      await using node = await api.create([nodeObject("controller-2"), nodeObject("controller-3")]);
      await api.core.patchNode(
        {
          name: "controller-2",
          body: { spec: { taints: [{ key: "node.kubernetes.io/unreachable", effect: "NoExecute" }] } },
        },
        mergePatch,
      );
      await peerPod("kept", "controller-2", { labelled: true });
      await peerPod("also-kept", "controller-3", { labelled: true });
      await peerPod("mark", "controller-2");
      for (const name of ["kept", "also-kept", "mark"]) await removePod(name);
      // Deleted last and done first: the others were looked at, and let alone.
      await vmGone("podvm-mark");
      await eventually("both being deleted", SOON_MS, async () => {
        const both = [await findPeerPod("kept"), await findPeerPod("also-kept")];
        return both.every((one) => one?.metadata?.deletionTimestamp !== undefined);
      });
      expect([site.hasVm("podvm-kept"), site.hasVm("podvm-also-kept")]).toEqual([true, true]);
      await api.core.patchNode(
        {
          name: "controller-3",
          body: { spec: { taints: [{ key: "node.kubernetes.io/out-of-service", effect: "NoExecute" }] } },
        },
        mergePatch,
      );
      await vmGone("podvm-also-kept");
      expect(site.hasVm("podvm-kept")).toBe(true);
      await node[Symbol.asyncDispose]();
      await vmGone("podvm-kept");
      await eventually("the PeerPods gone", SOON_MS, async () => {
        return (await findPeerPod("kept")) === undefined && (await findPeerPod("also-kept")) === undefined;
      });
    }, 300_000);

    test("a PeerPod that is deleted by hand does not take the VM of a pod that lives", async () => {
      const { api } = cluster();
      await using _node = await api.create([nodeObject("controller-4")]);
      await peerPod("lives", "controller-4");
      await peerPod("mark-2", "controller-4");
      const peerPodRef = {
        apiVersion: "confidentialcontainers.org/v1alpha1",
        kind: "PeerPod",
        metadata: { name: "lives-resource-abcde", namespace: apps },
      };
      await api.objects.delete(peerPodRef);
      await removePod("mark-2");
      await vmGone("podvm-mark-2");
      expect(site.hasVm("podvm-lives")).toBe(true);
      await removePod("lives");
      await vmGone("podvm-lives");
    }, 180_000);

    test("a PeerPod does not delete a VM of another namespace", async () => {
      const { api } = cluster();
      const id = await site.vm("podvm-victim", {
        node: "controller-5",
        sandbox: "victim",
        pod: "victim",
        namespace: "elsewhere",
      });
      await using _node = await api.create([nodeObject("controller-5")]);
      const thief: KubernetesObject & Record<string, unknown> = {
        apiVersion: "confidentialcontainers.org/v1alpha1",
        kind: "PeerPod",
        metadata: { name: "thief-resource-abcde", namespace: apps, finalizers: [FINALIZER] },
        spec: { cloudProvider: "mock", instanceID: id },
      };
      await api.objects.create(thief);
      await api.objects.delete(thief);
      await peerPod("mark-3", "controller-5");
      await removePod("mark-3");
      await vmGone("podvm-mark-3");
      expect(site.hasVm("podvm-victim")).toBe(true);
      expect((await findPeerPod("thief"))?.metadata?.finalizers).toEqual([FINALIZER]);
      await api.objects.patch(
        { ...thief, metadata: { name: "thief-resource-abcde", namespace: apps, finalizers: [] } },
        undefined,
        undefined,
        undefined,
        undefined,
        PatchStrategy.MergePatch,
      );
      await site.provider("").delete({ id, name: "podvm-victim" }, new AbortController().signal);
    }, 180_000);

    test("when the leader is killed the other one goes on", async () => {
      const first = await leader();
      await using _node = await cluster().api.create([nodeObject("controller-6")]);
      await peerPod("after", "controller-6");
      await site.kill(first);
      await removePod("after");
      await vmGone("podvm-after", 90_000);
      const second = await leader();
      expect(second).not.toBe(first);
      await site.startController(first);
      await site.end(second);
      await eventually("the first leading again", SOON_MS, async () => (await leader()) === first);
      await site.startController(second);
    }, 240_000);

    test("a shim-proxy of an older revision is replaced when its node runs no peer pod", async () => {
      const { api } = cluster();
      await using _objects = await api.create([
        nodeObject("controller-7", { "example.com/shim-proxy": "here" }),
        ...(await missingOnes(cluster(), [runtimeClass])),
        daemonSet(site.namespace, "one"),
      ]);
      const proxies = `/api/v1/namespaces/${site.namespace}/pods`;
      const isProxy = (pod: V1Pod): boolean => pod.metadata?.labels?.["app"] === "peerpods-shim-proxy";
      // Every new Node begins with a taint that says it is not ready.
      await api.core.patchNode({ name: "controller-7", body: { spec: { taints: null } } }, mergePatch);
      const old = await api.waitFor<V1Pod>(proxies, isProxy);
      await bindAndReady(old);
      const spec = {
        nodeName: "controller-7",
        runtimeClassName: "kata-remote",
        containers: [{ name: "main", image: "x" }],
      };
      await api.core.createNamespacedPod({ namespace: apps, body: { metadata: { name: "busy" }, spec } });
      const looks = async (): Promise<number> => {
        const requests = await api.requestsOf(`system:serviceaccount:${site.namespace}:peerpod-controller`);
        return requests.filter(({ uri }) => uri.includes("/controllerrevisions")).length;
      };
      const before = await looks();
      const update = daemonSet(site.namespace, "two");
      await api.objects.patch(update, undefined, undefined, undefined, undefined, PatchStrategy.MergePatch);
      await eventually("two looks at the new revision", 120_000, async () => (await looks()) >= before + 2);
      const uid = old.metadata?.uid ?? "";
      const name = old.metadata?.name ?? "";
      const current = async (): Promise<V1Pod> =>
        await api.core.readNamespacedPod({ name, namespace: site.namespace });
      expect((await current()).metadata?.deletionTimestamp).toBeUndefined();
      await removePod("busy");
      await eventually("the old one being deleted", 120_000, async () => {
        return (await current()).metadata?.deletionTimestamp !== undefined;
      });
      // What the kubelet does when the shim-proxy has ended.
      await api.core.deleteNamespacedPod({ name, namespace: site.namespace, gracePeriodSeconds: 0 });
      const next = await api.waitFor<V1Pod>(proxies, (pod) => isProxy(pod) && pod.metadata?.uid !== uid);
      const revision = "controller-revision-hash";
      expect(next.metadata?.labels?.[revision]).not.toBe(old.metadata?.labels?.[revision]);
    }, 300_000);

    /** What scheduler and kubelet do. */
    async function bindAndReady(pod: V1Pod): Promise<void> {
      const { core } = cluster().api;
      const name = pod.metadata?.name ?? "";
      const { namespace } = site;
      const target = { apiVersion: "v1", kind: "Node", name: "controller-7" };
      const body = { metadata: { name, namespace }, target };
      // The answer is a Status, in which the client misses a Binding.
      await core.createNamespacedPodBinding({ name, namespace, body }).catch((error: unknown) => {
        if (!/target/.test(String(error))) throw error;
      });
      const status = { conditions: [{ type: "Ready", status: "True" }] };
      await core.patchNamespacedPodStatus({ name, namespace, body: { status } }, mergePatch);
    }

    test("a VM of a node that never was is gone after two looks", async () => {
      await vmGone("podvm-lost", TWO_LOOKS_MS);
    }, 180_000);

    test("the chart's rights suffice, and nothing else was asked for", async () => {
      const user = `system:serviceaccount:${site.namespace}:peerpod-controller`;
      const requests = await cluster().api.requestsOf(user);
      expect(requests.length).toBeGreaterThan(20);
      expect(requests.filter(({ status }) => status === 401 || status === 403)).toEqual([]);
    });
  });
}

const runtimeClass: KubernetesObject & Record<string, unknown> = {
  apiVersion: "node.k8s.io/v1",
  kind: "RuntimeClass",
  metadata: { name: "kata-remote" },
  handler: "kata-remote",
};

const daemonSet = (namespace: string, version: string): V1DaemonSet => ({
  apiVersion: "apps/v1",
  kind: "DaemonSet",
  metadata: { name: "peerpods-shim-proxy", namespace },
  spec: {
    selector: { matchLabels: { app: "peerpods-shim-proxy" } },
    updateStrategy: { type: "OnDelete" },
    template: {
      metadata: { labels: { app: "peerpods-shim-proxy" }, annotations: { version } },
      spec: {
        nodeSelector: { "example.com/shim-proxy": "here" },
        tolerations: [{ operator: "Exists" }],
        terminationGracePeriodSeconds: 3600,
        containers: [{ name: "shim-proxy", image: "none.invalid/none" }],
      },
    },
  },
});
