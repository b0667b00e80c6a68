import { spawn } from "node:child_process";
import { once } from "node:events";
import { type KubernetesObject, PatchStrategy, setHeaderOptions, type V1Pod } from "@kubernetes/client-node";
import { expect, test } from "vitest";
import { startTestRoom, type TestRoom } from "../../providers/mock/mock-cloud/testing.ts";
import { RELEASE } from "../chart/helm.ts";
import { PROGRAM } from "../node/child.ts";
import { until } from "../real/service.ts";
import type { Cluster } from "./cluster.ts";
import type { InstalledChart } from "./installed-chart.ts";

const UNINSTALL_TIMEOUT_MS = 180_000;
const never = new AbortController().signal;
const HOOK_PODS = { labelSelector: "app=peerpods-cleanup" };

const makeVm = async (room: TestRoom, name: string, clusterId: string): Promise<void> => {
  const tags = { "peerpods-cluster": clusterId, "peerpods-node": "n", "peerpods-sandbox": name };
  await room.client.create({ name, tags, userData: "" }, never);
};

const vmNames = async (room: TestRoom): Promise<readonly string[]> =>
  (await room.client.list({ tags: {}, names: [], after: undefined }, never)).vms
    .map(({ name }) => name)
    .toSorted();

interface Ended {
  readonly status: number;
  readonly output: string;
}

/** Does what a kubelet would for the pod of the clean-up: runs its command as its service account. */
async function runPod(cluster: Cluster, pod: V1Pod, socket: string): Promise<Ended> {
  const namespace = pod.metadata?.namespace ?? "";
  const identity = { namespace, serviceAccount: pod.spec?.serviceAccountName ?? "" };
  const { data } = await cluster.api.core.readNamespacedConfigMap({ namespace, name: "peer-pods-cm" });
  const args = [...(pod.spec?.containers[0]?.args ?? []), "-second-look=0s"];
  const child = spawn(PROGRAM, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      ...data,
      MOCK_CLOUD_SOCKET: socket,
      POD_NAMESPACE: namespace,
      PEERPODS_KUBECONFIG: await cluster.api.kubeconfigOf(identity),
    },
  });
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(child, "close");
  return { status: child.exitCode ?? 128, output: Buffer.concat(chunks).toString() };
}

/** As a kubelet tells that the pod's only container has ended. */
async function tellEnd(cluster: Cluster, pod: V1Pod, exitCode: number): Promise<void> {
  const { name = "", namespace = "" } = pod.metadata ?? {};
  const how = setHeaderOptions("Content-Type", PatchStrategy.MergePatch);
  const [container] = pod.spec?.containers ?? [];
  const ended = {
    name: container?.name,
    image: container?.image,
    imageID: "",
    ready: false,
    restartCount: 0,
  };
  const status = {
    phase: exitCode === 0 ? "Succeeded" : "Failed",
    containerStatuses: [{ ...ended, state: { terminated: { exitCode } } }],
  };
  await cluster.api.core.patchNamespacedPodStatus({ name, namespace, body: { status } }, how);
}

/** Whatever of the release is there. */
async function leftOf(cluster: Cluster, kinds: ReadonlyMap<string, string>): Promise<readonly string[]> {
  const found = await Promise.all(
    [...kinds].map(async ([kind, apiVersion]) => {
      const list = cluster.api.objects.list<KubernetesObject>(
        apiVersion,
        kind,
        undefined,
        undefined,
        undefined,
        undefined,
        undefined,
        "app.kubernetes.io/part-of=peerpods",
      );
      return (await list).items.map(({ metadata }) => `${kind} ${metadata?.name}`);
    }),
  );
  return found.flat();
}

export function uninstallCases(cluster: () => Cluster, chart: () => InstalledChart): void {
  test("an uninstall deletes the cluster's VMs and PeerPods first, with the rights that it has, and leaves nothing", {
    timeout: UNINSTALL_TIMEOUT_MS,
  }, async () => {
    const { api } = cluster();
    const { namespace } = chart();
    await using room = await startTestRoom({ rootless: true });
    await chart().apply({ provider: "mock", webhook: { enabled: false } });
    const objects = [...(await chart().objects()), ...(await chart().hooks())];
    const kinds = new Map(objects.map(({ kind, apiVersion }) => [kind, apiVersion]));
    const clusterId = (await api.core.readNamespace({ name: "kube-system" })).metadata?.uid ?? "";
    await makeVm(room, "ours-1", clusterId);
    await makeVm(room, "ours-2", clusterId);
    await makeVm(room, "theirs", "another-cluster");
    const finalizers = ["peer.pod/finalizer"];
    await api.objects.create({
      apiVersion: "confidentialcontainers.org/v1alpha1",
      kind: "PeerPod",
      metadata: { name: "one", namespace, finalizers },
    });
    const spec = { runtimeClassName: "kata-remote", nodeName: "n", containers: [{ name: "c", image: "i" }] };
    const workload = await api.createNamespace("workload");
    await api.core.createNamespacedPod({ namespace: workload, body: { metadata: { name: "peer" }, spec } });

    const uninstall = () => chart().tryTo("uninstall", RELEASE, "--timeout", "150s");
    const first = uninstall();
    const pods = `/api/v1/namespaces/${namespace}/pods`;
    const refusedPod = await api.waitFor<V1Pod>(pods, () => true, HOOK_PODS);
    const refused = await runPod(cluster(), refusedPod, room.config.socket);
    expect(refused).toEqual({
      status: 3,
      output: expect.stringContaining(`1 peer pods run (${workload}/peer)`),
    });
    expect(await vmNames(room)).toEqual(["ours-1", "ours-2", "theirs"]);

    await tellEnd(cluster(), refusedPod, refused.status);
    expect(await first).toMatchObject({ ok: false });
    const tried = await api.core.listNamespacedPod({ namespace, ...HOOK_PODS });
    expect(tried.items.map(({ metadata }) => metadata?.uid)).toEqual([refusedPod.metadata?.uid]);

    await api.core.deleteNamespacedPod({ namespace: workload, name: "peer", gracePeriodSeconds: 0 });
    const second = uninstall();
    const isAnother = ({ metadata }: V1Pod) => metadata?.uid !== refusedPod.metadata?.uid;
    const pod = await api.waitFor<V1Pod>(pods, isAnother, HOOK_PODS);
    const done = await runPod(cluster(), pod, room.config.socket);
    expect(done.output).toContain("2 of 2 VMs");
    expect(done.status).toBe(0);
    expect(await vmNames(room)).toEqual(["theirs"]);
    await tellEnd(cluster(), pod, done.status);

    expect(await second).toMatchObject({ ok: true });
    await until("nothing left", 60_000, async () => (await leftOf(cluster(), kinds)).length === 0);
    const secrets = await api.core.listNamespacedSecret({ namespace });
    expect(secrets.items.map(({ metadata }) => metadata?.name)).toEqual([]);
    const requests = await api.requestsOf(`system:serviceaccount:${namespace}:peerpods-cleanup`);
    expect(requests.filter(({ status }) => status === 403)).toEqual([]);
    expect(requests.length).toBeGreaterThan(0);
  });
}
