import { describeError } from "../errors/index.ts";
import type { Journal } from "../journal/index.ts";
import { type ClusterClient, NAMESPACES, ReconcileLoop } from "../kubernetes/client/index.ts";
import type { Clock, Log } from "../platform/index.ts";
import type { EffectiveConfig } from "./effective-config.ts";

/** Its UID is the cluster's identity when CLUSTER_ID is not set. */
const IDENTITY_NAMESPACE = "kube-system";
/** How long the first term of a node, which knows no identity yet, waits for one before it makes VMs without. */
const FIRST_IDENTITY_MS = 5000;

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

  /** For a term that begins: what the journal remembers counts until the API server is heard. Waits a little where it remembers nothing. */
  async begin(journal: Journal, signal: AbortSignal): Promise<void> {
    const { clock, effective, log } = this.#deps;
    this.#journal = journal;
    const remembered = journal.meta("cluster_id") ?? "";
    if (this.#known === "" && remembered !== "") effective.learn({ clusterId: remembered });
    if (this.#known === "") {
      const learned = Promise.withResolvers<void>();
      const stop = effective.onChange(() => this.#known !== "" && learned.resolve());
      await Promise.race([learned.promise, clock.sleep(FIRST_IDENTITY_MS, signal).catch(() => undefined)]);
      stop();
    }
    this.#remember();
    if (this.#known === "") {
      log.warn(
        "the cluster's identity is not known yet: VMs made until then are not found by tag if the journal is lost. Set CLUSTER_ID, or let the adaptor get namespace kube-system",
      );
    }
  }

  /** The term is over: its journal is not to be used any more. */
  end(): void {
    this.#journal = undefined;
  }

  get #known(): string {
    return this.#deps.effective.current().owner.clusterId;
  }

  async #ask(signal: AbortSignal): Promise<undefined> {
    const { client, effective, log } = this.#deps;
    const { metadata } = await client.get(NAMESPACES, { name: IDENTITY_NAMESPACE }, signal);
    if (this.#known !== "" && this.#known !== metadata.uid) {
      log.warn("this node was of another cluster before; VMs of that one keep their tags", {
        before: this.#known,
        now: metadata.uid,
      });
    }
    effective.learn({ clusterId: metadata.uid });
    this.#remember();
    this.#told.abort();
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
