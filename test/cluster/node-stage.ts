import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CoreV1Api,
  KubeConfig,
  type KubernetesObject,
  PatchStrategy,
  setHeaderOptions,
  type V1Node,
  type V1Pod,
} from "@kubernetes/client-node";
import { ClusterSide } from "../../src/adaptor/cluster-side.ts";
import { EffectiveConfig } from "../../src/adaptor/effective-config.ts";
import { ClusterClient } from "../../src/kubernetes/client/index.ts";
import { NodeCapacity } from "../../src/kubernetes/node/index.ts";
import { type Log, silentLog } from "../../src/platform/index.ts";
import type { SandboxManager } from "../../src/sandbox/index.ts";
import { eagerClock } from "../fakes/eager-clock.ts";
import { FakeSandboxes } from "../fakes/fake-sandboxes.ts";
import { Child } from "../node/child.ts";
import { until } from "../real/service.ts";
import type { ApiGate } from "./api-gate.ts";
import { type Cluster, NODE_NAMES } from "./cluster.ts";
import type { InstalledChart } from "./installed-chart.ts";

/** The adaptor's service account. */
export const ACCOUNT = "cloud-api-adaptor";
export const VM = "kata.peerpods.io/vm";
export const MINE: string = NODE_NAMES[0];
export const OTHER: string = NODE_NAMES[1];
export const never: AbortSignal = new AbortController().signal;

const merge = setHeaderOptions("Content-Type", PatchStrategy.MergePatch);

const nodeObject = (name: string): KubernetesObject & { status: object } => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name },
  status: { capacity: { cpu: "4" }, allocatable: { cpu: "4" } },
});

export interface KeptCapacity {
  readonly capacity: NodeCapacity;
  /** Of the adaptor's pod. */
  readonly uid: string;
  /** The first failure that it logs. */
  readonly warned: Promise<string>;
  readonly end: () => Promise<void>;
}

export interface RunningAdaptor {
  readonly side: ClusterSide;
  readonly sandboxes: FakeSandboxes;
  readonly manager: SandboxManager;
  readonly effective: EffectiveConfig;
  /** Ends its term. */
  readonly leave: () => Promise<void>;
}

/** What one test has: adaptor pods with their tokens, a node, a namespace of pods. */
export class Stage implements AsyncDisposable {
  readonly #cluster: Cluster;
  readonly #chart: InstalledChart;
  readonly #undo: AsyncDisposableStack;
  readonly namespace: string;

  private constructor(parts: {
    cluster: Cluster;
    chart: InstalledChart;
    undo: AsyncDisposableStack;
    namespace: string;
  }) {
    this.#cluster = parts.cluster;
    this.#chart = parts.chart;
    this.#undo = parts.undo;
    this.namespace = parts.namespace;
  }

  static async set(cluster: Cluster, chart: InstalledChart): Promise<Stage> {
    await using undo = new AsyncDisposableStack();
    undo.use(await cluster.api.create([nodeObject(MINE), nodeObject(OTHER)]));
    const namespace = await cluster.api.createNamespace("pods");
    return new Stage({ cluster, chart, undo: undo.move(), namespace });
  }

  /** Of adaptor pods. */
  get adaptorNamespace(): string {
    return this.#chart.namespace;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }

  /** An adaptor's pod on a node, which never runs, and the token that it would have. */
  async adaptorPod(name: string): Promise<{ readonly uid: string; readonly kubeconfigFile: string }> {
    const { api } = this.#cluster;
    const { namespace } = this.#chart;
    const pod = await api.core.createNamespacedPod({
      namespace,
      body: {
        metadata: { name },
        spec: {
          nodeName: MINE,
          serviceAccountName: ACCOUNT,
          containers: [{ name: "main", image: "none.invalid/none" }],
        },
      },
    });
    this.#undo.defer(() => this.removePod(namespace, name));
    const kubeconfigFile = await api.kubeconfigOf({ namespace, serviceAccount: ACCOUNT, pod: name });
    return { uid: pod.metadata?.uid ?? "", kubeconfigFile };
  }

  /** At once, as with --force: there is no kubelet. */
  async removePod(namespace: string, name: string): Promise<void> {
    const gone = { namespace, name, gracePeriodSeconds: 0 };
    await this.#cluster.api.core.deleteNamespacedPod(gone).catch(() => undefined);
  }

  async client(kubeconfigFile: string): Promise<ClusterClient> {
    const deps = { clock: eagerClock, log: silentLog, userAgent: "test" };
    const access = { kind: "kubeconfig", file: kubeconfigFile } as const;
    return this.#undo.use(await ClusterClient.open(deps, access));
  }

  /** The capacity of node `nodeName`, kept by an adaptor pod until `end`. */
  async capacity(podName: string, nodeName: string, limit: number): Promise<KeptCapacity> {
    const { uid, kubeconfigFile } = await this.adaptorPod(podName);
    const { promise: warned, resolve } = Promise.withResolvers<string>();
    const log: Log = { ...silentLog, warn: (_text, fields) => resolve(fields?.error ?? "") };
    const capacity = new NodeCapacity(
      { client: await this.client(kubeconfigFile), clock: eagerClock, log },
      {
        nodeName,
        pod: { uid, namespace: this.#chart.namespace, name: "" },
        limit: () => limit,
        onNodeLimit: () => undefined,
      },
    );
    const stop = new AbortController();
    const running = capacity.run(stop.signal);
    const end = async (): Promise<void> => {
      stop.abort();
      await running;
    };
    this.#undo.defer(end);
    return { capacity, uid, warned, end };
  }

  async waitForNode(condition: (node: V1Node) => boolean, name: string = MINE): Promise<void> {
    const selector = { fieldSelector: `metadata.name=${name}` };
    await this.#cluster.api.waitFor<V1Node>("/api/v1/nodes", condition, selector);
  }

  /** Until these PeerPods, and no others, are in the namespace. */
  async untilPeerPods(names: readonly (string | undefined)[]): Promise<void> {
    await until(`PeerPods ${names.join(", ")}`, 60_000, async () => {
      const { items } = await this.#cluster.api.objects.list(
        "confidentialcontainers.org/v1alpha1",
        "PeerPod",
        this.namespace,
      );
      return items.map((one) => one.metadata?.name).join() === names.join();
    });
  }

  /** What a kubelet does that has lost its device checkpoint. */
  async zeroCapacity(): Promise<void> {
    const config = new KubeConfig();
    config.loadFromFile(await this.#cluster.api.kubeconfigOfNode(MINE));
    const body = { status: { capacity: { [VM]: "0" } } };
    await config.makeApiClient(CoreV1Api).patchNodeStatus({ name: MINE, body }, merge);
  }

  /** A peer pod as the scheduler has bound it. */
  async peerPod(name: string, spec: object = {}): Promise<string> {
    const pod: V1Pod = await this.#cluster.api.core.createNamespacedPod({
      namespace: this.namespace,
      body: {
        metadata: { name },
        spec: { nodeName: MINE, containers: [{ name: "main", image: "r.example/app" }], ...spec },
      },
    });
    return pod.metadata?.uid ?? "";
  }

  /** An adaptor's whole cluster side over a lifecycle in memory. */
  async adaptor(
    podName: string,
    uidOf: (sandboxId: string) => string | undefined,
    gate?: ApiGate,
  ): Promise<RunningAdaptor> {
    const { uid, kubeconfigFile: direct } = await this.adaptorPod(podName);
    const kubeconfigFile = (await gate?.kubeconfig(direct)) ?? direct;
    const sandboxes = this.#undo.use(new FakeSandboxes({ owner: { clusterId: "", nodeName: MINE } }));
    const effective = new EffectiveConfig(sandboxes.live);
    const side = await ClusterSide.open(
      {
        provider: "mock",
        node: {
          ...{ inKubernetes: true, name: MINE, podUid: uid, podName: podName, clusterId: "" },
          ...{ podNamespace: this.#chart.namespace, runtimeClassName: "kata-remote", probePort: 8000 },
          notifySocket: "",
        },
      },
      {
        kubeconfigFile,
        serviceEnv: { KUBERNETES_SERVICE_HOST: "", KUBERNETES_SERVICE_PORT: "" },
        nodeResource: "status",
        devicePluginDir: "/nonexistent",
      },
      { clock: eagerClock, log: silentLog, programVersion: "test", effective },
    );
    this.#undo.defer(() => side.close());
    sandboxes.onNotice = side.onNotice;
    const leave = side.begin({ epoch: 1, journal: sandboxes.journal, provider: sandboxes.cloud });
    this.#undo.defer(leave);
    const manager = sandboxes.managerWith({
      pullSecrets: side.pullSecrets,
      runtime: { podUid: async (id) => uidOf(id), list: async () => new Map() },
    });
    return { side, sandboxes, manager, effective, leave };
  }
}

/** A folder with the sockets, journal and logs of adaptor processes on one node. */
export class Processes implements AsyncDisposable {
  readonly #dir = mkdtempSync(join(tmpdir(), "peerpods-node-"));
  readonly #children: Child[] = [];

  start(name: string, env: Readonly<Record<string, string>>): Child {
    const child = new Child(name, join(this.#dir, `${name}.log`), ["mock"], {
      NODE_NAME: MINE,
      REMOTE_HYPERVISOR_ENDPOINT: join(this.#dir, "hypervisor.sock"),
      PODS_DIR: join(this.#dir, "pods"),
      PEERPODS_STATE_DIR: join(this.#dir, "state"),
      PEERPODS_ADMIN_SOCKET: join(this.#dir, `${name}.sock`),
      PEERPODS_SHIM_PROXY_WAIT: "0s",
      ...env,
    });
    this.#children.push(child);
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) await child.kill();
    rmSync(this.#dir, { recursive: true });
  }
}
