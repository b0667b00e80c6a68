import { describeError } from "../errors/index.ts";
import type { Journal } from "../journal/index.ts";
import { ClusterClient, clusterAccess, NAMESPACES, ReconcileLoop } from "../kubernetes/client/index.ts";
import { eventOf, PeerPods, PodEvents, pullSecrets } from "../kubernetes/pods/index.ts";
import type { Clock, Log } from "../platform/index.ts";
import type { LifecycleNotice, PodRef, PullSecrets } from "../sandbox/index.ts";
import { MAX_AUTH_JSON_BYTES } from "../user-data/index.ts";
import { podVmsOf } from "./cluster-vms.ts";
import type { AdaptorConfig, ClusterConfig } from "./config.ts";
import type { EffectiveConfig } from "./effective-config.ts";
import { type ClusterTerm, type NodeResource, nodeResource } from "./node-resource.ts";

/** Its UID is the cluster's identity when CLUSTER_ID is not set. */
const IDENTITY_NAMESPACE = "kube-system";
/** How long the first term of a node, which knows no identity yet, waits for one before it makes VMs without. */
const FIRST_IDENTITY_MS = 5000;
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
    this.pullSecrets = pullSecrets({
      ...{ client, clock, log, events: this.#events },
      limitBytes: MAX_AUTH_JSON_BYTES,
    });
  }

  /** Connects to nothing yet. Throws `invalid-config` when a kubeconfig cannot be used. */
  static async open(config: Settings, cluster: ClusterConfig, deps: ClusterSideDeps): Promise<ClusterSide> {
    const client = await ClusterClient.open(
      { ...deps, userAgent: `cloud-api-adaptor/${deps.programVersion} adaptor` },
      clusterAccess(cluster.kubeconfigFile, cluster.serviceEnv),
    );
    const side = new ClusterSide(config, cluster, deps, client);
    if (config.node.clusterId === "") side.#beside.push(side.#learnIdentity(side.#ending.signal));
    return side;
  }

  /** Told of the lives of pods. */
  readonly onNotice = (notice: LifecycleNotice): void => {
    const event = eventOf(notice, (sandboxId) => this.#podOf(sandboxId));
    if (event !== undefined) this.#events.record(event);
    if (notice.kind !== "done") return;
    if (notice.step === "vm.delete" && notice.pod !== undefined) this.#peerPods?.vmGone(notice.pod.sandboxId);
    else this.#peerPods?.poke();
  };

  /** From the lock on. Resolves when VMs can be made; gives what ends this part of the term. */
  async begin(term: ClusterTerm, signal: AbortSignal): Promise<() => Promise<void>> {
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
    await this.#identify(term.journal, signal);
    return async () => {
      ending.abort();
      await Promise.all(running);
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
    await Promise.all(this.#beside);
    this.#client[Symbol.dispose]();
  }

  /**
   * What the journal remembers counts until the API server is heard, so that a restart without one knows its VMs' tags; what is
   * heard is remembered.
   */
  async #identify(journal: Journal, signal: AbortSignal): Promise<void> {
    const { clock, effective, log } = this.#deps;
    if (this.#config.node.clusterId !== "") return;
    const known = (): string => effective.current().owner.clusterId;
    const remembered = journal.meta("cluster_id") ?? "";
    if (known() === "" && remembered !== "") effective.learn({ clusterId: remembered });
    if (known() === "") {
      const learned = Promise.withResolvers<void>();
      const stop = effective.onChange(() => known() !== "" && learned.resolve());
      await Promise.race([learned.promise, clock.sleep(FIRST_IDENTITY_MS, signal).catch(() => undefined)]);
      stop();
    }
    this.#remember();
    if (known() === "") {
      log.warn(
        "the cluster's identity is not known yet: VMs made until then are not found by tag if the journal is lost. Set CLUSTER_ID, or let the adaptor get namespace kube-system",
      );
    }
  }

  #remember(): void {
    const journal = this.#term?.journal;
    const { clusterId } = this.#deps.effective.current().owner;
    if (journal === undefined || clusterId === "" || journal.meta("cluster_id") === clusterId) return;
    try {
      journal.setMeta("cluster_id", clusterId);
    } catch (error) {
      this.#deps.log.warn("the cluster's identity could not be journaled", { error: describeError(error) });
    }
  }

  /** Asks until it is told. */
  async #learnIdentity(signal: AbortSignal): Promise<void> {
    const { effective, log } = this.#deps;
    const told = new AbortController();
    const loop = new ReconcileLoop(this.#deps, "the cluster's identity", async (abort) => {
      const { metadata } = await this.#client.get(NAMESPACES, { name: IDENTITY_NAMESPACE }, abort);
      const before = effective.current().owner.clusterId;
      if (before !== "" && before !== metadata.uid) {
        log.warn("this node was of another cluster before; VMs of that one keep their tags", {
          before,
          now: metadata.uid,
        });
      }
      effective.learn({ clusterId: metadata.uid });
      this.#remember();
      told.abort();
      return undefined;
    });
    await loop.run(AbortSignal.any([signal, told.signal]));
  }

  #podOf(sandboxId: string): PodRef | undefined {
    const record = this.#term?.journal.sandbox(sandboxId);
    return record && { ...record, sandboxId };
  }
}
