import { describeError, isCaaError } from "../../errors/index.ts";
import { hasEnded, PODS, type Pod } from "../client/index.ts";
import type { TermDeps } from "./deps.ts";
import { REVISION_LABEL } from "./names.ts";
import { CONTROLLER_REVISIONS, DAEMON_SETS, isHealthy } from "./resources.ts";
import { Since } from "./vm-verdict.ts";
import type { ClusterView } from "./watched.ts";

const INTERVAL_MS = 15_000;
/** Two looks that find a node without peer pods must be so far apart. */
const IDLE_MS = 10_000;
/** Nodes whose pods are listed in one look. */
const MAX_LISTS = 10;

/** A shim-proxy pod of the DaemonSet. */
export interface ShimProxyPod {
  readonly uid: string;
  readonly name: string;
  readonly nodeName: string;
  readonly isCurrent: boolean;
  readonly isReady: boolean;
  readonly isDeleting: boolean;
  /** Of its node: one on a node that nobody hears of says nothing about the new revision, and cannot be replaced. */
  readonly isNodeHealthy: boolean;
}

/**
 * Pure: which pods may be replaced now, in the order of their nodes. None while another is on its way out, or a new one is not ready yet: a
 * revision that does not work stops at the first node.
 */
export function replaceable(pods: readonly ShimProxyPod[]): readonly ShimProxyPod[] {
  const reachable = pods.filter((pod) => pod.isNodeHealthy);
  const isUnderWay = reachable.some((pod) => pod.isDeleting || (pod.isCurrent && !pod.isReady));
  if (isUnderWay) return [];
  return reachable
    .filter((pod) => !pod.isCurrent)
    .sort((a, b) => (a.nodeName < b.nodeName ? -1 : Number(a.nodeName > b.nodeName)));
}

/**
 * Replaces shim-proxy pods, whose DaemonSet is OnDelete because pods end with theirs: one at a time, and only on nodes without peer
 * pods. A peer pod that starts all the same in between keeps the old shim-proxy until it ends.
 */
export class ShimProxyRollout {
  readonly #deps: TermDeps;
  readonly #watched: ClusterView;
  readonly #idleSince = new Since();
  /** Where the next look begins, so that busy nodes do not keep it from the others. */
  #next = 0;
  /** At the last look. */
  #outdated = 0;

  constructor(deps: TermDeps, watched: ClusterView) {
    this.#deps = deps;
    this.#watched = watched;
  }

  async run(): Promise<void> {
    const { term, clock, log } = this.#deps;
    let said = "";
    while (!term.signal.aborted) {
      try {
        await this.round();
        said = "";
      } catch (error) {
        if (term.signal.aborted) return;
        const text = describeError(error);
        if (text !== said)
          log.warn("shim-proxies could not be looked at", { step: "shim-proxy", error: text });
        said = text;
      }
      await clock.sleep(INTERVAL_MS, term.signal).catch(() => undefined);
    }
  }

  /** One look. The name of the pod that was deleted, if one was (or would be, in a dry run). */
  async round(): Promise<string | undefined> {
    const { observe, term, log } = this.#deps;
    if (this.#watched.whyNodesUnknown() !== undefined || this.#watched.whyPeerPodsUnknown() !== undefined)
      return;
    const pods = await this.#pods();
    if (pods === undefined) return undefined;
    const outdated = pods.filter((pod) => !pod.isCurrent).length;
    observe({ kind: "shim-proxies", total: pods.length, outdated });
    if (outdated !== this.#outdated && outdated > 0) {
      log.info("shim-proxies of an older revision are replaced as their nodes run no peer pod", {
        step: "shim-proxy",
        outdated,
        total: pods.length,
      });
    }
    this.#outdated = outdated;
    const candidates = replaceable(pods);
    this.#idleSince.keepOnly(new Set(candidates.map((pod) => pod.uid)));
    const idle = await this.#firstIdle(candidates);
    if (idle === undefined) return undefined;
    term.assertHeld();
    return await this.#replace(idle);
  }

  /** undefined: there is no such DaemonSet, or its last change has not been seen by its controller. */
  async #pods(): Promise<readonly ShimProxyPod[] | undefined> {
    const { client, options, term } = this.#deps;
    const { namespace } = options;
    const set = await client.find(DAEMON_SETS, { name: options.shimProxyDaemonSet, namespace }, term.signal);
    if (set === undefined || set.observedGeneration < set.generation) return undefined;
    const isOurs = ({ metadata }: Pick<Pod, "metadata">): boolean =>
      metadata.ownerReferences?.some((owner) => owner.uid === set.metadata.uid) === true;
    const revisions = (await client.list(CONTROLLER_REVISIONS, { namespace }, term.signal)).items.filter(
      isOurs,
    );
    const [newest] = revisions.toSorted((a, b) => b.revision - a.revision);
    const hash = newest?.metadata.labels?.[REVISION_LABEL] ?? "";
    if (hash === "") return undefined;
    const pods = (await client.list(PODS, { namespace }, term.signal)).items.filter(isOurs);
    return pods.map((pod) => this.#describe(pod, hash));
  }

  #describe({ metadata, spec, status }: Pod, hash: string): ShimProxyPod {
    const nodeName = spec.nodeName ?? "";
    return {
      uid: metadata.uid,
      name: metadata.name,
      nodeName,
      isCurrent: metadata.labels?.[REVISION_LABEL] === hash,
      isReady: status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") === true,
      isDeleting: metadata.deletionTimestamp !== undefined,
      isNodeHealthy: isHealthy(this.#watched.node(nodeName)),
    };
  }

  /** The first whose node has run no peer pod for two looks. */
  async #firstIdle(candidates: readonly ShimProxyPod[]): Promise<ShimProxyPod | undefined> {
    const { clock } = this.#deps;
    const count = candidates.length;
    const looked = candidates.slice(0, Math.min(count, MAX_LISTS)).map((_, n) => (this.#next + n) % count);
    for (const at of looked) {
      const pod = candidates[at];
      if (pod === undefined) continue;
      if (!(await this.#isIdle(pod.nodeName))) this.#idleSince.forget(pod.uid);
      else if (this.#idleSince.note(pod.uid, clock.monotonicMs()) >= IDLE_MS) return pod;
    }
    const isAnyIdle = candidates.some((pod) => this.#idleSince.has(pod.uid));
    // An idle one is looked at again next time.
    if (!isAnyIdle) this.#next = count > 0 ? (this.#next + looked.length) % count : 0;
    return undefined;
  }

  async #isIdle(nodeName: string): Promise<boolean> {
    const { client, options, term } = this.#deps;
    if (this.#watched.peerPods().some((facts) => facts.nodeName === nodeName)) return false;
    const { items } = await client.list(PODS, { fieldSelector: `spec.nodeName=${nodeName}` }, term.signal);
    return !items.some((pod) => pod.spec.runtimeClassName === options.runtimeClassName && !hasEnded(pod));
  }

  async #replace(pod: ShimProxyPod): Promise<string | undefined> {
    const { client, options, term, log, observe } = this.#deps;
    const fields = { step: "shim-proxy", pod: pod.name, node: pod.nodeName };
    if (options.isDryRun) {
      log.warn("a shim-proxy of an older revision would be replaced (dry run)", fields);
      return pod.name;
    }
    try {
      const ref = { name: pod.name, namespace: options.namespace };
      await client.delete(PODS, ref, { uid: pod.uid }, term.signal);
    } catch (error) {
      // Somebody else has replaced it.
      if (isCaaError(error, "conflict")) return undefined;
      throw error;
    }
    log.info("a shim-proxy of an older revision is replaced: its node runs no peer pod", fields);
    observe({ kind: "shim-proxy-replaced", nodeName: pod.nodeName });
    return pod.name;
  }
}
