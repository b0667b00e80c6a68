import type { V1Pod } from "@kubernetes/client-node";
import { hasStatus } from "../cluster/cluster-api.ts";
import { RUNTIME_HANDLER } from "../real/configs.ts";
import { BUSYBOX_IMAGE } from "./configs.ts";
import type { ClusterNode } from "./node.ts";

/** A container that does nothing for ever, and ends at once when told. */
export const IDLE: readonly string[] = ["sh", "-c", "trap exit TERM; echo ready; while :; do sleep 1; done"];

type PodSpec = NonNullable<V1Pod["spec"]>;
type Container = PodSpec["containers"][number];

interface PodOptions {
  /** Whether it gets a VM of its own. */
  readonly peer?: boolean;
  readonly container?: Partial<Container>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly hostNetwork?: boolean;
  readonly restartPolicy?: string;
  readonly volumes?: NonNullable<PodSpec["volumes"]>;
}

const POD_TIMEOUT_MS = 180_000;

/** A pod with one idle container. */
const podObject = (name: string, { peer, container, labels, ...spec }: PodOptions = {}): V1Pod => ({
  metadata: { name, labels: { ...labels } },
  spec: {
    ...(peer === true ? { runtimeClassName: RUNTIME_HANDLER } : {}),
    ...spec,
    terminationGracePeriodSeconds: 5,
    containers: [
      {
        name: "main",
        image: BUSYBOX_IMAGE,
        imagePullPolicy: "Never",
        command: [...IDLE],
        ...container,
      },
    ],
  },
});

const isReady = (pod: V1Pod): boolean =>
  pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;

const podsOf = (namespace: string): string => `/api/v1/namespaces/${namespace}/pods`;

/** A namespace of one case, whose pods go with it. */
export class PodSpace implements AsyncDisposable {
  readonly name: string;
  readonly #node: ClusterNode;

  private constructor(node: ClusterNode, name: string) {
    this.#node = node;
    this.name = name;
  }

  static async make(node: ClusterNode, prefix: string): Promise<PodSpace> {
    return new PodSpace(node, await node.cluster.api.createNamespace(prefix));
  }

  async create(name: string, options?: PodOptions): Promise<V1Pod> {
    return await this.#node.cluster.api.core.createNamespacedPod({
      namespace: this.name,
      body: podObject(name, options),
    });
  }

  /** Waits until the pod is as wanted. */
  async until(name: string, wanted: (pod: V1Pod, change: string) => boolean): Promise<V1Pod> {
    const query = { fieldSelector: `metadata.name=${name}` };
    return await this.#node.cluster.api.waitFor<V1Pod>(podsOf(this.name), wanted, query, POD_TIMEOUT_MS);
  }

  async ready(name: string): Promise<V1Pod> {
    return await this.until(name, isReady);
  }

  /** Runs a command in the pod. Resolves to its output; throws when it fails. */
  async exec(name: string, ...command: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#node.kubectl(
      "-n",
      this.name,
      "exec",
      name,
      "--",
      ...command,
    );
    if (code !== 0) throw new Error(`${command.join(" ")} in ${name}: exit status ${code}: ${stderr}`);
    return stdout;
  }

  /** Why the scheduler has no place for the pod; waits until it says so. */
  async unschedulable(name: string): Promise<string> {
    const reason = (pod: V1Pod): string | undefined =>
      pod.status?.conditions?.find(
        ({ type, reason }) => type === "PodScheduled" && reason === "Unschedulable",
      )?.message;
    return reason(await this.until(name, (pod) => reason(pod) !== undefined)) ?? "";
  }

  /** Deletes the pod and waits until it is gone. */
  async remove(name: string): Promise<void> {
    const gone = this.until(name, (_, change) => change === "DELETED");
    await this.#node.cluster.api.core.deleteNamespacedPod({ namespace: this.name, name });
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { core } = this.#node.cluster.api;
    const { items } = await core.listNamespacedPod({ namespace: this.name });
    const names = items.flatMap(({ metadata }) => metadata?.name ?? []);
    const gone = names.map((name) => this.until(name, (_, change) => change === "DELETED"));
    for (const name of names)
      await core.deleteNamespacedPod({ namespace: this.name, name }).catch((error: unknown) => {
        if (!hasStatus(error, 404)) throw error;
      });
    await Promise.all(gone);
  }
}
