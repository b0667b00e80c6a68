import type { ClusterStatus } from "../admin/index.ts";
import { describeError } from "../errors/index.ts";
import { ClusterClient, clusterAccess, PODS } from "../kubernetes/client/index.ts";
import { eventOf, PeerPods, type PodEvent, PodEvents, pullSecrets } from "../kubernetes/pods/index.ts";
import type { Clock, Log } from "../platform/index.ts";
import type { LifecycleNotice, PodRef, PullSecrets } from "../sandbox/index.ts";
import { MAX_AUTH_JSON_BYTES } from "../user-data/index.ts";
import { ClusterIdentity } from "./cluster-identity.ts";
import { podVmsOf } from "./cluster-vms.ts";
import type { AdaptorConfig, ClusterConfig } from "./config.ts";
import type { EffectiveConfig } from "./effective-config.ts";
import { type ClusterTerm, type NodeResource, nodeResource } from "./node-resource.ts";

/** How long an orderly end may take over the node's capacity. */
const WITHDRAW_TIMEOUT_MS = 10_000;

/** Of all settings, what the cluster's side needs. */
type Settings = Pick<AdaptorConfig, "node" | "provider">;

export interface ClusterSideDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly programVersion: string;
  readonly effective: EffectiveConfig;
}

/**
 * All that the adaptor does with the cluster: capacity of the node, PeerPods, pull secrets, Events, the cluster's identity. Nothing
 * of it holds up a pod: an API server that does not answer is asked again beside everything else.
 */
export class ClusterSide {
  readonly #config: Settings;
  readonly #deps: ClusterSideDeps;
  readonly #client: ClusterClient;
  readonly #events: PodEvents;
  readonly #cluster: ClusterConfig;
  readonly #ending = new AbortController();
  readonly #beside: Promise<void>[] = [];
  /** Undefined: CLUSTER_ID says it. */
  readonly #identity: ClusterIdentity | undefined;
  readonly #identifying: Promise<void> | undefined;
  /** Of the term that runs. */
  #term: ClusterTerm | undefined;
  #peerPods: PeerPods | undefined;
  #resource: NodeResource | undefined;
  readonly pullSecrets: PullSecrets;

  private constructor(
    config: Settings,
    cluster: ClusterConfig,
    deps: ClusterSideDeps,
    client: ClusterClient,
  ) {
    const { clock, log } = deps;
    this.#config = config;
    this.#cluster = cluster;
    this.#deps = deps;
    this.#client = client;
    this.#events = new PodEvents({ client, clock, log }, config.node.name);
    this.#identity = config.node.clusterId === "" ? new ClusterIdentity({ ...deps, client }) : undefined;
    this.#identifying = this.#identity?.run(this.#ending.signal);
    this.pullSecrets = pullSecrets({
      ...{ client, clock, log, events: this.#events },
      limitBytes: MAX_AUTH_JSON_BYTES,
    });
  }

  /** Begins to ask for the cluster's identity, and waits for nothing. Throws `invalid-config` when a kubeconfig cannot be used. */
  static async open(config: Settings, cluster: ClusterConfig, deps: ClusterSideDeps): Promise<ClusterSide> {
    const client = await ClusterClient.open(
      { ...deps, userAgent: `cloud-api-adaptor/${deps.programVersion} adaptor` },
      clusterAccess(cluster.kubeconfigFile, cluster.serviceEnv),
    );
    return new ClusterSide(config, cluster, deps, client);
  }

  /** For people. */
  get status(): ClusterStatus {
    const troubles: readonly (readonly [string, string | undefined])[] = [
      ["the cluster's identity", this.#identity?.trouble],
      ["the node's capacity", this.#resource?.trouble],
      ["PeerPods", this.#peerPods?.trouble],
    ];
    return {
      nodeResource: this.#cluster.nodeResource,
      troubles: troubles.flatMap(([what, trouble]) => (trouble === undefined ? [] : [`${what}: ${trouble}`])),
    };
  }

  /** Runs `work` until this side is closed. It must not reject. */
  beside(work: (client: ClusterClient, signal: AbortSignal) => Promise<void>): void {
    this.#beside.push(work(this.#client, this.#ending.signal));
  }

  /** Variables that the containers of this process's own pod set themselves; undefined: the pod is not known. */
  async explicitKeys(signal: AbortSignal): Promise<ReadonlySet<string> | undefined> {
    const { podName, podNamespace } = this.#config.node;
    if (podName === "") return undefined;
    try {
      const { spec } = await this.#client.get(PODS, { name: podName, namespace: podNamespace }, signal);
      const names = (spec.containers ?? []).flatMap(({ env = [] }) => env.map(({ name = "" }) => name));
      return new Set(names);
    } catch (error) {
      this.#deps.log.warn("the adaptor's own pod cannot be read, so its container's variables are guessed", {
        error: describeError(error),
      });
      return undefined;
    }
  }

  /** An Event on the adaptor's own pod: what whoever runs it must know. */
  recordOwn(event: Pick<PodEvent, "reason" | "action" | "note">): void {
    const { podName, podNamespace, podUid } = this.#config.node;
    if (podName === "") return;
    const pod = { namespace: podNamespace, name: podName, uid: podUid };
    this.#events.record({ pod, type: "Warning", ...event });
  }

  /** Told of the lives of pods. */
  readonly onNotice = (notice: LifecycleNotice): void => {
    const event = eventOf(notice, (sandboxId) => this.#podOf(sandboxId));
    if (event !== undefined) this.#events.record(event);
    if (notice.kind !== "done") return;
    if (notice.step === "vm.delete" && notice.pod !== undefined) this.#peerPods?.vmGone(notice.pod.sandboxId);
    else if (notice.step === "vm.create" || notice.step === "start") this.#peerPods?.poke();
  };

  /** As `SandboxDeps` has it. */
  readonly identified = async (signal: AbortSignal): Promise<void> => {
    await this.#identity?.settled(signal);
  };

  /** From the lock on. Gives what ends this part of the term. */
  begin(term: ClusterTerm): () => Promise<void> {
    const { clock, log } = this.#deps;
    const { name } = this.#config.node;
    this.#term = term;
    const peerPods = new PeerPods(
      {
        ...{ client: this.#client, clock, log },
        vms: () => podVmsOf(term.journal),
        vmExists: async (vm, abort) => (await term.provider.get(vm, abort)) !== undefined,
      },
      { nodeName: name, provider: this.#config.provider },
    );
    this.#peerPods = peerPods;
    this.#resource = nodeResource(
      { ...this.#deps, client: this.#client },
      { node: this.#config.node, cluster: this.#cluster },
      term,
    );
    const ending = new AbortController();
    const parts = [peerPods, this.#events, ...(this.#resource === undefined ? [] : [this.#resource])];
    const running = parts.map((part) => part.run(ending.signal));
    this.#identity?.begin(term.journal);
    return async () => {
      ending.abort();
      await Promise.all(running);
      this.#identity?.end();
      this.#term = undefined;
      this.#peerPods = undefined;
    };
  }

  /** For the orderly end, once another process may own the node. */
  async withdraw(): Promise<void> {
    const { clock, log } = this.#deps;
    try {
      await this.#resource?.withdraw(clock.timeout(WITHDRAW_TIMEOUT_MS));
    } catch (error) {
      log.warn("the node's capacity could not be withdrawn; the next adaptor of this node sets it", {
        error: describeError(error),
      });
    }
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await this.#identifying;
    await Promise.all(this.#beside);
    this.#client[Symbol.dispose]();
  }

  #podOf(sandboxId: string): PodRef | undefined {
    const record = this.#term?.journal.sandbox(sandboxId);
    return record && { ...record, sandboxId };
  }
}
