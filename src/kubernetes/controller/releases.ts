import { describeError, isCaaError } from "../../errors/index.ts";
import { hasEnded, PEER_POD_FINALIZER, PEER_PODS, PODS } from "../client/index.ts";
import type { TermDeps } from "./deps.ts";
import type { NodeProof } from "./node-proof.ts";
import {
  isSuperseded,
  mayRelease,
  type OwnerState,
  type PeerPodFacts,
  type ReleaseAnswer,
  type StalePeerPod,
  staleOnes,
} from "./peer-pod.ts";
import { type NodeState, nodeState } from "./resources.ts";
import { deletePeerPodVm } from "./vm-deletes.ts";
import { Since } from "./vm-verdict.ts";
import type { ClusterView } from "./watched.ts";

/** VMs of PeerPods that are deleted at the same time. */
const CONCURRENCY = 4;
/** Until something is tried again that failed, growing; and until something is looked at again that must wait. */
const FIRST_PAUSE_MS = 5000;
const MAX_PAUSE_MS = 5 * 60_000;
const LOOK_AGAIN_MS = 30_000;

interface Due {
  readonly failures: number;
  readonly notBeforeMs: number;
}

/** Sees to PeerPods that are being deleted with our finalizer, and deletes those that a newer one of their pod replaced. */
export class Releases {
  readonly #deps: TermDeps;
  readonly #watched: ClusterView;
  readonly #proof: NodeProof;
  readonly #deletingSince = new Since();
  readonly #due = new Map<string, Due>();
  readonly #running = new Map<string, Promise<void>>();
  /** What was last answered, by UID; also so that it is said once. */
  readonly #answers = new Map<string, string>();

  constructor(deps: TermDeps, watched: ClusterView, proof: NodeProof) {
    this.#deps = deps;
    this.#watched = watched;
    this.#proof = proof;
  }

  /** Starts what is due; what takes time goes on behind. */
  round(): void {
    const all = this.#watched.peerPods();
    this.#forgetAllBut(all);
    const counts = { total: all.length, deleting: 0, waiting: 0, living: 0 };
    for (const facts of all) {
      if (!facts.isDeleting || !facts.isHeld) continue;
      counts.deleting++;
      if (this.#answers.get(facts.uid) === "living") counts.living++;
      if (this.#isAdaptorsBusiness(facts)) counts.waiting++;
      else this.#start(facts, () => this.#release(facts));
    }
    for (const stale of staleOnes(all)) this.#start(stale.facts, () => this.#supersede(stale));
    this.#deps.observe({ kind: "peer-pods", ...counts });
  }

  /** Resolves when nothing is under way. Never rejects. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.values());
  }

  #forgetAllBut(all: readonly PeerPodFacts[]): void {
    const uids = new Set(all.map((facts) => facts.uid));
    this.#deletingSince.keepOnly(uids);
    for (const uid of this.#due.keys()) if (!uids.has(uid)) this.#due.delete(uid);
    for (const uid of this.#answers.keys()) if (!uids.has(uid)) this.#answers.delete(uid);
  }

  /** The common case, without asking anybody: a living node's adaptor is just about to delete the VM. */
  #isAdaptorsBusiness(facts: PeerPodFacts): boolean {
    const { clock, options } = this.#deps;
    const forMs = this.#deletingSince.note(facts.uid, clock.monotonicMs());
    if (facts.nodeName === "" || this.#watched.whyNodesUnknown() !== undefined) return facts.nodeName !== "";
    return nodeState(this.#watched.node(facts.nodeName)) === "alive" && forMs < options.graceMs;
  }

  #start(facts: PeerPodFacts, work: () => Promise<void>): void {
    const { clock } = this.#deps;
    if (this.#running.has(facts.uid) || this.#running.size >= CONCURRENCY) return;
    if ((this.#due.get(facts.uid)?.notBeforeMs ?? 0) > clock.monotonicMs()) return;
    const task = this.#guarded(facts, work).finally(() => this.#running.delete(facts.uid));
    this.#running.set(facts.uid, task);
  }

  async #guarded(facts: PeerPodFacts, work: () => Promise<void>): Promise<void> {
    const { term, log, observe } = this.#deps;
    try {
      this.#postpone(facts, LOOK_AGAIN_MS, 0);
      term.assertHeld();
      await work();
    } catch (error) {
      if (term.signal.aborted) return;
      const failures = (this.#due.get(facts.uid)?.failures ?? 0) + 1;
      const pauseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures - 1, 10));
      const askedMs = isCaaError(error) ? (error.retryAfterMs ?? 0) : 0;
      this.#postpone(facts, Math.max(pauseMs, askedMs), failures);
      observe({ kind: "peer-pod", action: "failed", name: nameOf(facts) });
      log.warn("a PeerPod could not be seen to; it is tried again", {
        step: "peer-pod",
        peerPod: nameOf(facts),
        error: describeError(error),
      });
    }
  }

  /** `failures` 0 leaves the count as it is. */
  #postpone(facts: PeerPodFacts, ms: number, failures: number): void {
    const before = this.#due.get(facts.uid)?.failures ?? 0;
    this.#due.set(facts.uid, {
      failures: failures === 0 ? before : failures,
      notBeforeMs: this.#deps.clock.monotonicMs() + ms,
    });
  }

  async #release(facts: PeerPodFacts): Promise<void> {
    const { log } = this.#deps;
    const answer = await this.#ask(facts);
    if (!answer.release) return this.#say(facts, answer.kind, `a PeerPod is let alone: ${answer.why}`);
    const done = await deletePeerPodVm(this.#deps, facts, this.#watched.peerPods());
    if (done.outcome === "refused" || done.outcome === "dry-run") {
      this.#postpone(facts, MAX_PAUSE_MS, 0);
      return this.#say(facts, done.outcome, `a PeerPod keeps its finalizer: ${done.why}`);
    }
    if (await this.#removeFinalizer(facts)) {
      log.info("a PeerPod's VM is gone, and its finalizer is removed", {
        step: "peer-pod",
        peerPod: nameOf(facts),
        instanceId: facts.instanceId,
        outcome: done.outcome,
        reason: answer.why,
      });
      this.#deps.observe({ kind: "peer-pod", action: "released", name: nameOf(facts) });
    }
  }

  async #ask(facts: PeerPodFacts): Promise<ReleaseAnswer> {
    const { term, clock, options } = this.#deps;
    let node: NodeState | undefined;
    let isNodeProvenGone = false;
    if (facts.nodeName !== "") {
      const look = await this.#proof.look(facts.nodeName, term.signal);
      node = look.state;
      isNodeProvenGone = look.isProven;
    }
    return mayRelease({
      facts,
      node,
      isNodeProvenGone,
      owner: await this.#ownerState(facts),
      isSuperseded: isSuperseded(facts, this.#watched.peerPods()),
      deletingForMs: this.#deletingSince.note(facts.uid, clock.monotonicMs()),
      graceMs: options.graceMs,
    });
  }

  async #ownerState(facts: PeerPodFacts): Promise<OwnerState> {
    const { client, term } = this.#deps;
    if (facts.ownerUid === "") return "unowned";
    const ref = { name: facts.ownerName, namespace: facts.namespace };
    const pod = await client.find(PODS, ref, term.signal);
    // Another pod of that name, as a StatefulSet makes, is not the owner.
    if (pod === undefined || pod.metadata.uid !== facts.ownerUid) return "gone";
    return pod.metadata.deletionTimestamp !== undefined || hasEnded(pod) ? "ending" : "living";
  }

  #say(facts: PeerPodFacts, answer: string, text: string): void {
    if (this.#answers.get(facts.uid) === answer) return;
    this.#answers.set(facts.uid, answer);
    const { log } = this.#deps;
    const fields = { step: "peer-pod", peerPod: nameOf(facts), instanceId: facts.instanceId };
    if (answer === "adaptor" || answer === "ending") log.debug(text, fields);
    else log.warn(text, fields);
  }

  /** Ours only, and of this very object. False: somebody else has done it. */
  async #removeFinalizer(facts: PeerPodFacts): Promise<boolean> {
    const { client, term } = this.#deps;
    const ref = { name: facts.name, namespace: facts.namespace };
    const now = await client.find(PEER_PODS, ref, term.signal);
    const at = now?.metadata.finalizers?.indexOf(PEER_POD_FINALIZER) ?? -1;
    if (now?.metadata.uid !== facts.uid || at < 0) return false;
    term.assertHeld();
    const operations = [
      { op: "test", path: "/metadata/uid", value: facts.uid },
      { op: "test", path: `/metadata/finalizers/${at}`, value: PEER_POD_FINALIZER },
      { op: "remove", path: `/metadata/finalizers/${at}` },
    ] as const;
    try {
      await client.patch(PEER_PODS, ref, { type: "json", operations }, term.signal);
      return true;
    } catch (error) {
      if (isCaaError(error, "not-found")) return false;
      throw error;
    }
  }

  async #supersede({ facts, newer }: StalePeerPod): Promise<void> {
    const { client, term, log, options, observe } = this.#deps;
    const text = `a PeerPod of an earlier sandbox of pod ${facts.ownerName}`;
    if (options.isDryRun) return this.#say(facts, "dry-run", `${text} would be deleted (dry run)`);
    const ref = { name: facts.name, namespace: facts.namespace };
    await client.delete(PEER_PODS, ref, { uid: facts.uid }, term.signal);
    log.warn(`${text} is deleted, and its VM with it`, {
      step: "peer-pod",
      peerPod: nameOf(facts),
      newer: nameOf(newer),
    });
    observe({ kind: "peer-pod", action: "superseded", name: nameOf(facts) });
  }
}

const nameOf = ({ namespace, name }: PeerPodFacts): string => `${namespace}/${name}`;
