import { OwnerTag, type Vm } from "../../../providers/contract.ts";
import { describeError, unavailable } from "../../errors/index.ts";
import { hasEnded, PEER_PODS, PODS } from "../client/index.ts";
import type { TermDeps } from "./deps.ts";
import { ADAPTOR_SELECTOR } from "./names.ts";
import type { NodeProof } from "./node-proof.ts";
import type { PeerPodFacts } from "./peer-pod.ts";
import { type NodeState, nodeState } from "./resources.ts";
import { deleteOrphan, isSandboxOf } from "./vm-deletes.ts";
import {
  isGraced,
  isOfPool,
  type OrphanReason,
  Since,
  type VmSurroundings,
  verdictOf,
} from "./vm-verdict.ts";
import type { ClusterView } from "./watched.ts";

/** VMs that are deleted at the same time. */
const CONCURRENCY = 4;
/** Until the second look at a node that was found gone: a little more than the proof asks for. */
const SECOND_LOOK_MS = 61_000;

/** How long the first list of nodes may take before that counts as a failure, and how often it is looked for. */
const FIRST_LIST_MS = 30_000;
const FIRST_LIST_STEP_MS = 500;

/** What nodes are there, asked once for each name in one look. */
type NodeLooks = Map<string, { readonly state: NodeState; readonly isProven: boolean }>;

interface Suspect {
  readonly vm: Vm;
  readonly reason: OrphanReason;
  readonly isProven: boolean;
}

/** Looks at all VMs with the cluster's tag, and deletes those that are provably nobody's; the same for PeerPods of gone nodes. */
export class Sweeper {
  readonly #deps: TermDeps;
  readonly #watched: ClusterView;
  readonly #proof: NodeProof;
  readonly #unusedSince = new Since();

  constructor(deps: TermDeps, watched: ClusterView, proof: NodeProof) {
    this.#deps = deps;
    this.#watched = watched;
    this.#proof = proof;
  }

  /** Looks until the term ends. */
  async run(): Promise<void> {
    const { term, clock, options, log, observe } = this.#deps;
    await this.#firstNodes();
    while (!term.signal.aborted) {
      let pauseMs = options.sweepIntervalMs;
      try {
        if ((await this.round()).hasUnproven) pauseMs = Math.min(pauseMs, SECOND_LOOK_MS);
      } catch (error) {
        if (term.signal.aborted) return;
        log.warn("the cloud's VMs could not be looked at; none is deleted", {
          step: "sweep",
          error: describeError(error),
        });
        observe({ kind: "sweep-failed", error: describeError(error) });
        pauseMs = Math.min(pauseMs, SECOND_LOOK_MS);
      }
      await clock.sleep(pauseMs, term.signal).catch(() => undefined);
    }
  }

  /** The nodes of a large cluster take a moment to be listed; that is no failure yet. */
  async #firstNodes(): Promise<void> {
    const { term, clock } = this.#deps;
    for (let waitedMs = 0; waitedMs < FIRST_LIST_MS; waitedMs += FIRST_LIST_STEP_MS) {
      if (term.signal.aborted || this.#watched.whyNodesUnknown() === undefined) return;
      await clock.sleep(FIRST_LIST_STEP_MS, term.signal).catch(() => undefined);
    }
  }

  /** One look, and what follows from it. Throws when it cannot be taken in full. */
  async round(): Promise<{ readonly hasUnproven: boolean }> {
    const { provider, clock, options, term, observe } = this.#deps;
    const startedMs = clock.monotonicMs();
    this.#requireNodes();
    const vms = await provider.list({ clusterId: options.clusterId }, term.signal);
    const looks = await this.#lookAtNodes(vms);
    const suspects = await this.#suspects(vms, looks);
    const due = suspects.filter((suspect) => suspect.isProven).slice(0, options.budget);
    const count = (reason: OrphanReason): number => suspects.filter((one) => one.reason === reason).length;
    observe({
      kind: "sweep",
      vms: vms.length,
      suspects: {
        "node-gone": count("node-gone"),
        "node-out-of-service": count("node-out-of-service"),
        "pod-gone": count("pod-gone"),
        "pool-abandoned": count("pool-abandoned"),
      },
      due: due.length,
      durationMs: clock.monotonicMs() - startedMs,
    });
    await this.#deletePeerPods(looks);
    await this.#deleteAll(due);
    const hasUnproven = [...looks.values()].some((look) => look.state !== "alive" && !look.isProven);
    return { hasUnproven };
  }

  #requireNodes(): void {
    const why = this.#watched.whyNodesUnknown();
    if (why !== undefined) throw unavailable(`which nodes there are is not known: ${why}`);
  }

  /** Nodes that VMs or PeerPods name and that the watch does not show as well are asked for by name. */
  async #lookAtNodes(vms: readonly Vm[]): Promise<NodeLooks> {
    const names = new Set([
      ...vms.map((vm) => vm.tags[OwnerTag.Node] ?? ""),
      ...this.#watched.peerPods().map((facts) => facts.nodeName),
    ]);
    names.delete("");
    this.#proof.keepOnly(names);
    const looks: NodeLooks = new Map();
    for (const name of names) {
      if (nodeState(this.#watched.node(name)) === "alive") {
        this.#proof.seenAlive(name);
        looks.set(name, { state: "alive", isProven: false });
      } else {
        looks.set(name, await this.#proof.look(name, this.#deps.term.signal));
      }
    }
    return looks;
  }

  async #suspects(vms: readonly Vm[], looks: NodeLooks): Promise<readonly Suspect[]> {
    const { options, clock } = this.#deps;
    const adaptors = await this.#nodesWithAdaptor();
    const peerPods = this.#watched.whyPeerPodsUnknown() === undefined ? this.#watched.peerPods() : undefined;
    const suspects: Suspect[] = [];
    const unused = new Set<string>();
    for (const vm of vms) {
      const verdict = verdictOf(vm, await this.#surroundings(vm, { looks, adaptors, peerPods }));
      if (verdict.kind === "keep") continue;
      let isProven = verdict.isProven;
      if (isGraced(verdict.reason)) {
        unused.add(vm.id);
        isProven = this.#unusedSince.note(vm.id, clock.monotonicMs()) >= options.orphanGraceMs;
      }
      suspects.push({ vm, reason: verdict.reason, isProven });
    }
    this.#unusedSince.keepOnly(unused);
    return suspects;
  }

  async #surroundings(
    vm: Vm,
    known: {
      readonly looks: NodeLooks;
      readonly adaptors: ReadonlySet<string>;
      readonly peerPods: readonly PeerPodFacts[] | undefined;
    },
  ): Promise<VmSurroundings> {
    const nodeName = vm.tags[OwnerTag.Node] ?? "";
    const look = known.looks.get(nodeName) ?? { state: "alive" as const, isProven: false };
    // Without a single adaptor in sight we are looking in the wrong place, and know nothing of any.
    const hasAdaptor = known.adaptors.size === 0 || known.adaptors.has(nodeName);
    const hasPeerPod =
      known.peerPods === undefined ||
      known.peerPods.some((facts) => facts.instanceId === vm.id || isSandboxOf(vm, facts));
    const isPodAsked = look.state === "alive" && !hasAdaptor && !hasPeerPod;
    return {
      clusterId: this.#deps.options.clusterId,
      node: look.state,
      isNodeProvenGone: look.isProven,
      hasAdaptor,
      hasPeerPod,
      pod: isPodAsked ? await this.#podOf(vm, nodeName) : "unknown",
    };
  }

  async #nodesWithAdaptor(): Promise<ReadonlySet<string>> {
    const { client, options, term } = this.#deps;
    const query = { namespace: options.namespace, labelSelector: ADAPTOR_SELECTOR };
    const { items } = await client.list(PODS, query, term.signal);
    return new Set(items.map((pod) => pod.spec.nodeName ?? "").filter((name) => name !== ""));
  }

  async #podOf(vm: Vm, nodeName: string): Promise<VmSurroundings["pod"]> {
    if (isOfPool(vm)) return (await this.#mayRunPeerPods(nodeName)) ? "there" : "gone";
    const { client, term } = this.#deps;
    const namespace = vm.tags[OwnerTag.Namespace] ?? "";
    const name = vm.tags[OwnerTag.Pod] ?? "";
    if (namespace === "" || name === "") return "unknown";
    const pod = await client.find(PODS, { namespace, name }, term.signal);
    // One of that name on another node, as a StatefulSet makes, does not run on this node's VM.
    return pod === undefined || (pod.spec.nodeName ?? nodeName) !== nodeName ? "gone" : "there";
  }

  /**
   * Whether some pod of the node may have taken a VM of its pool. The PeerPod that would say so may never have been made, and pods may use
   * another runtime class than the one that this controller knows: any pod with a runtime class counts.
   */
  async #mayRunPeerPods(nodeName: string): Promise<boolean> {
    if (this.#watched.whyPeerPodsUnknown() !== undefined) return true;
    if (this.#watched.peerPods().some((facts) => facts.nodeName === nodeName)) return true;
    const { client, term } = this.#deps;
    const { items } = await client.list(PODS, { fieldSelector: `spec.nodeName=${nodeName}` }, term.signal);
    return items.some((pod) => (pod.spec.runtimeClassName ?? "") !== "" && !hasEnded(pod));
  }

  async #deleteAll(due: readonly Suspect[]): Promise<void> {
    const left = [...due];
    const worker = async (): Promise<void> => {
      for (let one = left.shift(); one !== undefined; one = left.shift()) {
        this.#deps.term.assertHeld();
        if (await this.#isStillNobodys(one)) await deleteOrphan(this.#deps, one.vm, one.reason);
      }
    };
    await Promise.all(Array.from({ length: Math.min(CONCURRENCY, due.length) }, worker));
  }

  /** Deletes take minutes, and a node or its adaptor may come back while others' VMs are deleted. */
  async #isStillNobodys({ vm, reason }: Suspect): Promise<boolean> {
    if (reason === "pod-gone") return true;
    const nodeName = vm.tags[OwnerTag.Node] ?? "";
    try {
      if (reason === "pool-abandoned")
        return !(await this.#nodesWithAdaptor()).has(nodeName) && !(await this.#mayRunPeerPods(nodeName));
      return (await this.#proof.look(nodeName, this.#deps.term.signal)).isProven;
    } catch (error) {
      this.#deps.term.signal.throwIfAborted();
      this.#deps.log.warn("a node could not be asked for again; its VMs are let alone", {
        step: "sweep",
        vmName: vm.name,
        error: describeError(error),
      });
      return false;
    }
  }

  /** Their pods are as gone as the node, and one without an owner nobody else would delete; the finalizer sees to the VM. */
  async #deletePeerPods(looks: NodeLooks): Promise<void> {
    const { client, term, log, options, observe } = this.#deps;
    const lost = this.#watched
      .peerPods()
      .filter((facts) => !facts.isDeleting && looks.get(facts.nodeName)?.isProven === true)
      .slice(0, options.budget);
    for (const facts of lost) {
      const name = `${facts.namespace}/${facts.name}`;
      const fields = { step: "sweep", peerPod: name, node: facts.nodeName };
      if (options.isDryRun) {
        log.warn("a PeerPod of a node that is gone would be deleted (dry run)", fields);
        continue;
      }
      term.assertHeld();
      try {
        const ref = { name: facts.name, namespace: facts.namespace };
        await client.delete(PEER_PODS, ref, { uid: facts.uid }, term.signal);
        log.warn("a PeerPod of a node that is gone is deleted", fields);
        observe({ kind: "peer-pod", action: "node-gone", name });
      } catch (error) {
        term.signal.throwIfAborted();
        // It must not keep the VMs from being deleted; the next look finds it again.
        log.warn("a PeerPod of a node that is gone could not be deleted; it is tried again", {
          ...fields,
          error: describeError(error),
        });
        observe({ kind: "peer-pod", action: "failed", name });
      }
    }
  }
}
