import type { CoreV1Event, KubernetesObject } from "@kubernetes/client-node";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { findHelm, Helm, RELEASE } from "../chart/helm.ts";
import type { Child } from "../node/child.ts";
import { until } from "../real/service.ts";
import { ApiGate } from "./api-gate.ts";
import type { Cluster } from "./cluster.ts";
import { InstalledChart } from "./installed-chart.ts";
import { ACCOUNT, MINE, never, OTHER, Processes, Stage, VM } from "./node-stage.ts";

const found = await findHelm();
const suffix = "missing" in found ? ` (${found.missing})` : "";

const SETUP_TIMEOUT_MS = 120_000;
const OWNER = "kata.peerpods.io/caa-owner";
const PEER_PODS = "/apis/confidentialcontainers.org/v1alpha1/peerpods";

const base64 = (text: string): string => Buffer.from(text).toString("base64");

interface PeerPodObject extends KubernetesObject {
  readonly spec?: { readonly instanceID?: string };
}

function capacityCases(stage: () => Stage): void {
  test("is claimed, advertised, put back when the kubelet zeroes it, and withdrawn", async () => {
    const { capacity, uid, end } = await stage().capacity("first", MINE, 10);
    await stage().waitForNode((node) => node.status?.capacity?.[VM] === "10");
    await stage().waitForNode((node) => node.metadata?.annotations?.[OWNER] === uid);
    await stage().zeroCapacity();
    await stage().waitForNode((node) => node.status?.capacity?.[VM] === "10");
    await end();
    expect(await capacity.withdraw(never)).toBe("withdrawn");
    await stage().waitForNode((node) => node.status?.capacity?.[VM] === undefined);
    expect(await capacity.withdraw(never)).toBe("withdrawn");
  });

  test("stays when a second adaptor has taken it over before the first one ends", async () => {
    const first = await stage().capacity("first", MINE, 10);
    await stage().waitForNode((node) => node.status?.capacity?.[VM] === "10");
    const second = await stage().capacity("second", MINE, 7);
    await stage().waitForNode((node) => node.status?.capacity?.[VM] === "7");
    await stage().zeroCapacity();
    await stage().waitForNode((node) => node.status?.capacity?.[VM] === "7");
    await first.end();
    expect(await first.capacity.withdraw(never)).toBe("kept");
    await stage().waitForNode((node) => node.metadata?.annotations?.[OWNER] === second.uid);
    await stage().waitForNode((node) => node.status?.capacity?.[VM] === "7");
  });

  test("of another node is refused, and that is said", async () => {
    // A policy that was just installed takes effect some time later: until then the claim goes through.
    const said = await until("the claim refused", 50_000, async () => {
      const { capacity, uid, warned, end } = await stage().capacity("first", OTHER, 10);
      const claimed = stage().waitForNode((node) => node.metadata?.annotations?.[OWNER] === uid, OTHER);
      const settled = claimed.then(
        () => undefined,
        () => undefined,
      );
      const outcome = await Promise.race([warned, settled]);
      await end();
      if (outcome === undefined) await capacity.withdraw(never);
      await stage().removePod(stage().adaptorNamespace, "first");
      return outcome;
    });
    expect(said).toMatch(/its own node only/);
  });
}

function upgradeCases(cluster: () => Cluster, stage: () => Stage): void {
  test("an upgrade with a stand-by has no moment without capacity; the last one takes it away", async () => {
    await using processes = new Processes();
    const start = async (name: string): Promise<{ readonly child: Child; readonly uid: string }> => {
      const { uid, kubeconfigFile } = await stage().adaptorPod(name);
      const env = { POD_UID: uid, POD_NAME: name, POD_NAMESPACE: stage().adaptorNamespace };
      return { uid, child: processes.start(name, { ...env, PEERPODS_KUBECONFIG: kubeconfigFile }) };
    };
    const old = await start("old");
    await stage().waitForNode((node) => node.status?.capacity?.[VM] === "10");
    const next = await start("next");
    await until("a stand-by", 60_000, async () => next.child.log().includes("standing by"));
    const seen: (string | undefined)[] = [];
    const watching = stage().waitForNode((node) => {
      seen.push(node.status?.capacity?.[VM]);
      return node.metadata?.annotations?.[OWNER] === next.uid;
    });
    await stage().removePod(stage().adaptorNamespace, "old");
    await old.child.kill("SIGTERM");
    await watching;
    await stage().waitForNode((node) => {
      seen.push(node.status?.capacity?.[VM]);
      return true;
    });
    expect(new Set(seen), old.child.log()).toEqual(new Set(["10"]));
    await stage().removePod(stage().adaptorNamespace, "next");
    await next.child.kill("SIGTERM");
    const node = await cluster().api.core.readNode({ name: MINE });
    expect(node.status?.capacity?.[VM], next.child.log()).toBeUndefined();
    expect([old.child.process.exitCode, next.child.process.exitCode]).toEqual([0, 0]);
  });

  test("an adaptor whose container alone is restarted keeps the capacity", async () => {
    await using processes = new Processes();
    const { uid, kubeconfigFile } = await stage().adaptorPod("same");
    const child = processes.start("same", {
      ...{ POD_UID: uid, POD_NAME: "same", POD_NAMESPACE: stage().adaptorNamespace },
      PEERPODS_KUBECONFIG: kubeconfigFile,
    });
    await stage().waitForNode((node) => node.status?.capacity?.[VM] === "10");
    await child.kill("SIGTERM");
    const node = await cluster().api.core.readNode({ name: MINE });
    expect(node.status?.capacity?.[VM], child.log()).toBe("10");
  });
}

function podCases(cluster: () => Cluster, stage: () => Stage): void {
  const peerPodsIn = (namespace: string): string =>
    PEER_PODS.replace("/peerpods", `/namespaces/${namespace}/peerpods`);

  /** CreateVM and StartVM of a pod, as its shim asks for them. */
  const run = async (
    node: Awaited<ReturnType<Stage["adaptor"]>>,
    id: string,
    name: string,
  ): Promise<void> => {
    await node.manager.create(node.sandboxes.request(id, name, stage().namespace), never);
    await node.manager.start(id, never);
  };

  const events = async (uid: string): Promise<readonly CoreV1Event[]> =>
    (
      await cluster().api.core.listNamespacedEvent({
        namespace: stage().namespace,
        fieldSelector: `involvedObject.uid=${uid}`,
      })
    ).items;

  test("a pod's start makes a PeerPod that outlives a forced delete of the pod until the VM is gone", async () => {
    const uid = await stage().peerPod("web");
    const node = await stage().adaptor("adaptor", () => uid);
    await run(node, "s1", "web");
    const made = await cluster().api.waitFor<PeerPodObject>(peerPodsIn(stage().namespace), () => true);
    expect(made.metadata).toMatchObject({
      finalizers: ["peer.pod/finalizer"],
      ownerReferences: [{ kind: "Pod", name: "web", uid, controller: true, blockOwnerDeletion: true }],
    });
    await stage().removePod(stage().namespace, "web");
    // The garbage collector's delete, which the finalizer holds.
    await cluster().api.waitFor(
      peerPodsIn(stage().namespace),
      (one) => one.metadata?.deletionTimestamp !== undefined,
    );
    await node.manager.stop("s1", never);
    await stage().untilPeerPods([]);
  });

  test("a pod that is made anew under its name gets a PeerPod of its own", async () => {
    const uids = new Map([["s1", await stage().peerPod("db-0")]]);
    const node = await stage().adaptor("adaptor", (id) => uids.get(id));
    await run(node, "s1", "db-0");
    await cluster().api.waitFor(peerPodsIn(stage().namespace), () => true);
    await stage().removePod(stage().namespace, "db-0");
    const next = await stage().peerPod("db-0");
    uids.set("s2", next);
    await run(node, "s2", "db-0");
    const second = await cluster().api.waitFor<PeerPodObject>(
      peerPodsIn(stage().namespace),
      (one) => one.metadata?.ownerReferences?.[0]?.uid === next,
    );
    await node.manager.stop("s1", never);
    await stage().untilPeerPods([second.metadata?.name]);
    const left = await cluster().api.objects.read({
      apiVersion: "confidentialcontainers.org/v1alpha1",
      kind: "PeerPod",
      metadata: { name: second.metadata?.name ?? "", namespace: stage().namespace },
    });
    expect(left.metadata?.deletionTimestamp).toBeUndefined();
  });

  test("Events stand where `kubectl describe pod` looks, and the same again is counted", async () => {
    const uid = await stage().peerPod("web");
    const node = await stage().adaptor("adaptor", () => uid);
    node.sandboxes.live.set({ ...node.sandboxes.config, limit: 0 });
    for (const id of ["s1", "s2"])
      await expect(
        node.manager.create(node.sandboxes.request(id, "web", stage().namespace), never),
      ).rejects.toThrow(/may run 0 pod VMs/);
    await cluster().api.waitFor<CoreV1Event>(
      `/api/v1/namespaces/${stage().namespace}/events`,
      (event) => event.series?.count === 2,
    );
    expect(await events(uid)).toMatchObject([
      {
        type: "Warning",
        reason: "PeerPodLimitReached",
        message: expect.stringContaining("PEERPODS_LIMIT_PER_NODE"),
        reportingComponent: "confidentialcontainers.org/cloud-api-adaptor",
        involvedObject: { kind: "Pod", name: "web", uid },
      },
    ]);
  });

  test("while the API server is away pods start and stop; when it is back all is as it should be", async () => {
    const { api, url } = cluster();
    const uids = new Map<string, string>();
    for (const name of ["old", "new"]) uids.set(name, await stage().peerPod(name));
    await using gate = await ApiGate.open(url);
    const node = await stage().adaptor("adaptor", (id) => uids.get(id), gate);
    await run(node, "old", "old");
    const of = (name: string) => (one: PeerPodObject, change: string) =>
      change !== "DELETED" && one.metadata?.ownerReferences?.[0]?.name === name;
    await api.waitFor<PeerPodObject>(peerPodsIn(stage().namespace), of("old"));
    await stage().waitForNode((one) => one.status?.capacity?.[VM] === "10");
    await gate.close();
    await stage().zeroCapacity();
    await node.manager.stop("old", never);
    await run(node, "new", "new");
    await gate.open();
    const made = await api.waitFor<PeerPodObject>(peerPodsIn(stage().namespace), of("new"));
    await stage().waitForNode((one) => one.status?.capacity?.[VM] === "10");
    await api.waitFor(`/api/v1/namespaces/${stage().namespace}/events`, () => true, {
      fieldSelector: `involvedObject.name=new,reason=PeerPodVMStarted`,
    });
    await stage().untilPeerPods([made.metadata?.name]);
  });

  test("pull secrets of account and pod reach the VM", async () => {
    const { api } = cluster();
    const { namespace } = stage();
    const secret = (name: string, registry: string, password: string) =>
      api.core.createNamespacedSecret({
        namespace,
        body: {
          metadata: { name },
          type: "kubernetes.io/dockerconfigjson",
          data: {
            ".dockerconfigjson": base64(
              JSON.stringify({ auths: { [registry]: { username: "u", password } } }),
            ),
          },
        },
      });
    await secret("of-account", "a.example", "one");
    await secret("of-pod", "r.example", "two");
    await api.core.createNamespacedServiceAccount({
      namespace,
      body: { metadata: { name: "robot" }, imagePullSecrets: [{ name: "of-account" }] },
    });
    const uid = await stage().peerPod("web", {
      serviceAccountName: "robot",
      imagePullSecrets: [{ name: "of-pod" }],
    });
    const node = await stage().adaptor("adaptor", () => uid);
    await node.manager.create(node.sandboxes.request("s1", "web", namespace), never);
    expect(node.sandboxes.journal.sandbox("s1")?.userData?.reveal()).toContain(
      JSON.stringify({
        auths: { "a.example": { auth: base64("u:one") }, "r.example": { auth: base64("u:two") } },
      }),
    );
  });
}

/** What the adaptor does in a cluster, as its own service account under the chart's roles and policies. */
export function nodeCases(cluster: () => Cluster): void {
  describe.skipIf("missing" in found)(`the adaptor's side of the cluster${suffix}`, () => {
    let chart: InstalledChart | undefined;
    let set: Stage | undefined;
    const stage = (): Stage => {
      if (set === undefined) throw new Error("the stage is set only while a test runs");
      return set;
    };
    const user = (): string => `system:serviceaccount:${chart?.namespace}:${ACCOUNT}`;

    beforeAll(async () => {
      const namespace = await cluster().api.createNamespace("adaptor");
      const helm = new Helm("path" in found ? found.path : "");
      // Nobody answers for the webhook here.
      const values = { provider: "azure", webhook: { enabled: false } };
      chart = new InstalledChart(helm, cluster(), { namespace, values });
      await chart.apply();
    }, SETUP_TIMEOUT_MS);

    beforeEach(async () => {
      if (chart !== undefined) set = await Stage.set(cluster(), chart);
    });

    afterEach(async () => {
      await set?.[Symbol.asyncDispose]();
      set = undefined;
    });

    afterAll(async () => {
      await chart?.tryTo("uninstall", RELEASE, "--no-hooks", "--ignore-not-found");
    }, SETUP_TIMEOUT_MS);

    describe("capacity", () => capacityCases(stage));
    describe("an upgrade", () => upgradeCases(cluster, stage));
    describe("pods", () => podCases(cluster, stage));

    test("all of a pod's life needs no right that the chart does not give, and asks for no more", async () => {
      const uid = await stage().peerPod("web");
      const before = (await cluster().api.requestsOf(user())).length;
      const node = await stage().adaptor("adaptor", () => uid);
      await stage().waitForNode((one) => one.status?.capacity?.[VM] === "10");
      await node.manager.create(node.sandboxes.request("s1", "web", stage().namespace), never);
      await node.manager.start("s1", never);
      await cluster().api.waitFor(`/api/v1/namespaces/${stage().namespace}/events`, () => true);
      await cluster().api.waitFor(PEER_PODS, (one) => one.metadata?.namespace === stage().namespace);
      await node.manager.stop("s1", never);
      await stage().untilPeerPods([]);
      const kubeSystem = await cluster().api.core.readNamespace({ name: "kube-system" });
      expect(node.effective.current().owner.clusterId).toBe(kubeSystem.metadata?.uid);
      await node.leave();
      await stage().removePod(chart?.namespace ?? "", "adaptor");
      await node.side.withdraw();
      await stage().waitForNode((one) => one.status?.capacity?.[VM] === undefined);
      const requests = (await cluster().api.requestsOf(user())).slice(before);
      expect(requests.filter(({ status }) => status === 403)).toEqual([]);
      expect(requests.length).toBeLessThan(40);
    });
  });
}
