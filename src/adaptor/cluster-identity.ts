import { describeError, isCaaError, unavailable } from "../errors/index.ts";
import type { Journal } from "../journal/index.ts";
import { type ClusterClient, NAMESPACES, ReconcileLoop } from "../kubernetes/client/index.ts";
import type { Clock, Log } from "../platform/index.ts";
import type { EffectiveConfig } from "./effective-config.ts";

/** Its UID is the cluster's identity when CLUSTER_ID is not set. */
const IDENTITY_NAMESPACE = "kube-system";
/** How long a pod's start waits for it on a node that was never told: well within what a kubelet gives a container runtime. */
const HOLD_MS = 60_000;

export interface ClusterIdentityDeps {
  readonly client: ClusterClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly effective: EffectiveConfig;
}

/**
 * Which cluster this node is of, where CLUSTER_ID does not say: it is asked for until the API server tells, and what it told is kept in
 * the journal, so that a start without an API server still finds its VMs by their tags.
 */
export class ClusterIdentity {
  readonly #deps: ClusterIdentityDeps;
  readonly #loop: ReconcileLoop;
  readonly #told = new AbortController();
  /** Aborts when the API server has answered that it will not tell. */
  readonly #refused = new AbortController();
  #journal: Journal | undefined;

  constructor(deps: ClusterIdentityDeps) {
    this.#deps = deps;
    this.#loop = new ReconcileLoop(deps, "the cluster's identity", (signal) => this.#ask(signal));
  }

  /** Why it cannot be had now. */
  get trouble(): string | undefined {
    return this.#loop.trouble;
  }

  /** Until it is told, or the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#loop.run(AbortSignal.any([signal, this.#told.signal]));
  }

  /** For a term that begins: what the journal remembers counts until the API server is heard. */
  begin(journal: Journal): void {
    this.#journal = journal;
    const remembered = journal.meta("cluster_id") ?? "";
    if (this.#known === "" && remembered !== "") this.#deps.effective.learn({ clusterId: remembered });
    this.#remember();
  }

  /**
   * Resolves once VMs can be made: with the cluster's tag, or without where the API server says that it will not tell. Rejects `unavailable`
   * when it says nothing: nobody could find such a VM if this node were lost.
   */
  async settled(signal: AbortSignal): Promise<void> {
    if (this.#isSettled) return;
    const { clock, effective } = this.#deps;
    const learned = new AbortController();
    const stop = effective.onChange(() => this.#known !== "" && learned.abort());
    const early = AbortSignal.any([signal, learned.signal, this.#refused.signal]);
    // Rejects when it ends early; what for is looked at next.
    await clock.sleep(HOLD_MS, early).catch(() => undefined);
    stop();
    signal.throwIfAborted();
    if (this.#isSettled) return;
    const why = this.trouble ?? "the API server has not answered";
    throw unavailable(
      `no VM is made before the identity of this node's cluster, the UID of namespace ${IDENTITY_NAMESPACE}, was told once: ${why}. The pod is tried again; see to the API server, or set CLUSTER_ID`,
    );
  }

  /** The term is over: its journal is not to be used any more. */
  end(): void {
    this.#journal = undefined;
  }

  get #known(): string {
    return this.#deps.effective.current().owner.clusterId;
  }

  get #isSettled(): boolean {
    return this.#known !== "" || this.#refused.signal.aborted;
  }

  async #ask(signal: AbortSignal): Promise<undefined> {
    const { client, effective, log } = this.#deps;
    const uid = await this.#askUid(client, signal);
    if (this.#known !== "" && this.#known !== uid) {
      log.warn("this node was of another cluster before; VMs of that one keep their tags", {
        before: this.#known,
        now: uid,
      });
    }
    effective.learn({ clusterId: uid });
    this.#remember();
    this.#told.abort();
  }

  async #askUid(client: ClusterClient, signal: AbortSignal): Promise<string> {
    try {
      return (await client.get(NAMESPACES, { name: IDENTITY_NAMESPACE }, signal)).metadata.uid;
    } catch (error) {
      this.#noteRefusal(error);
      throw error;
    }
  }

  /** A right that is missing does not come by waiting for it. */
  #noteRefusal(error: unknown): void {
    const isNoAnswer = !isCaaError(error) || isCaaError(error, "unavailable", "throttled", "deadline");
    if (isNoAnswer || this.#isSettled) return;
    this.#refused.abort();
    this.#deps.log.warn(
      "the API server does not tell the cluster's identity: VMs are made without its tag, and nobody finds them if this node's journal is lost. Set CLUSTER_ID, or let the adaptor get namespace kube-system",
      { error: describeError(error) },
    );
  }

  #remember(): void {
    const clusterId = this.#known;
    if (this.#journal === undefined || clusterId === "" || this.#journal.meta("cluster_id") === clusterId)
      return;
    try {
      this.#journal.setMeta("cluster_id", clusterId);
    } catch (error) {
      this.#deps.log.warn("the cluster's identity could not be journaled", { error: describeError(error) });
    }
  }
}
