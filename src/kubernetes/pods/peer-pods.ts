import { internal, isCaaError } from "../../errors/index.ts";
import type { Clock, Log } from "../../platform/index.ts";
import {
  type ClusterClient,
  labelValue,
  NODE_LABEL,
  PEER_POD_FINALIZER,
  PEER_PODS,
  type PeerPod,
  PODS,
  peerPodPlace,
  ReconcileLoop,
} from "../client/index.ts";
import { type PodVm, peerPodDraft, peerPodName, planPeerPods, VM_NAME_ANNOTATION } from "./peer-pod-plan.ts";

export interface PeerPodsDeps {
  readonly client: ClusterClient;
  readonly clock: Clock;
  readonly log: Log;
  /** VMs of sandboxes in the journal now. */
  readonly vms: () => readonly PodVm[];
  /** Asks the cloud. Throws when it does not answer. */
  readonly vmExists: (
    vm: { readonly id: string; readonly name: string },
    signal: AbortSignal,
  ) => Promise<boolean>;
}

export interface PeerPodsOptions {
  readonly nodeName: string;
  /** As it stands in the PeerPod: CLOUD_PROVIDER. */
  readonly provider: string;
}

/** All PeerPods of the node are read again after this time, whatever is known of them. */
const RELIST_MS = 10 * 60_000;
/** A PeerPod whose VM the cloud still shows is looked at again after this time. */
const STILL_THERE_MS = 60_000;
/** Names tried for one PeerPod. */
const MAX_NAMES = 4;

/**
 * Keeps one PeerPod per VM of this node: level-triggered, from the journal and the labelled PeerPods alone, so nothing of it has to
 * wait and nothing is lost with a process. A PeerPod is released (our finalizer removed, the object deleted) when its VM is gone,
 * whatever became of its Pod: it is found by its own labels.
 */
export class PeerPods {
  readonly #deps: PeerPodsDeps;
  readonly #options: PeerPodsOptions;
  readonly #loop: ReconcileLoop;
  /** By sandbox; undefined: a list is due. */
  #known: Map<string, PeerPod> | undefined;
  #listedAtMs = 0;
  /** Sandboxes whose VM we have seen deleted: the cloud need not be asked about them. */
  readonly #gone = new Set<string>();
  /** Sandboxes whose VM nobody here knows: said once each. */
  readonly #toldOf = new Set<string>();
  #blocksOwnerDeletion = true;

  constructor(deps: PeerPodsDeps, options: PeerPodsOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#loop = new ReconcileLoop(deps, `PeerPods of node ${options.nodeName}`, (signal) =>
      this.#reconcile(signal),
    );
  }

  /** Why they are not what they should be. */
  get trouble(): string | undefined {
    return this.#loop.trouble;
  }

  /** Something changed in the journal's VMs. */
  poke(): void {
    this.#loop.poke();
  }

  /** The cloud has said that this sandbox's VM is gone. */
  vmGone(sandboxId: string): void {
    this.#gone.add(sandboxId);
    this.#loop.poke();
  }

  /** Until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#loop.run(signal);
  }

  async #reconcile(signal: AbortSignal): Promise<number> {
    const { clock, vms } = this.#deps;
    const known =
      this.#known !== undefined && clock.monotonicMs() - this.#listedAtMs < RELIST_MS
        ? this.#known
        : await this.#list(signal);
    const { create, release } = planPeerPods(vms(), [...known.values()]);
    const failures: unknown[] = [];
    let areStillThere = false;
    for (const vm of create) await this.#attempt(failures, signal, () => this.#create(known, vm, signal));
    for (const peerPod of release) {
      await this.#attempt(failures, signal, async () => {
        if (!(await this.#release(known, peerPod, signal))) areStillThere = true;
      });
    }
    if (failures.length > 0) throw failures[0];
    return areStillThere ? STILL_THERE_MS : RELIST_MS;
  }

  /** One that cannot be put right must not keep the others from it. */
  async #attempt(failures: unknown[], signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      signal.throwIfAborted();
      // It may have been done all the same, or the object is another than we know.
      this.#known = undefined;
      failures.push(error);
    }
  }

  async #list(signal: AbortSignal): Promise<Map<string, PeerPod>> {
    const { client, clock } = this.#deps;
    const labelSelector = `${NODE_LABEL}=${labelValue(this.#options.nodeName)}`;
    const { items } = await client.list(PEER_PODS, { labelSelector }, signal);
    const known = new Map(items.map((item) => [peerPodPlace(item).sandboxId, item]));
    for (const set of [this.#gone, this.#toldOf]) for (const id of set) if (!known.has(id)) set.delete(id);
    this.#known = known;
    this.#listedAtMs = clock.monotonicMs();
    return known;
  }

  async #create(known: Map<string, PeerPod>, vm: PodVm, signal: AbortSignal): Promise<void> {
    const podUid = vm.podUid ?? (await this.#uidByName(vm, signal));
    if (podUid === undefined) return;
    for (let attempt = 0; attempt < MAX_NAMES; attempt++) {
      const name = peerPodName(vm.podName, vm.sandboxId, attempt);
      const peerPod = await this.#createNamed(vm, name, podUid, signal);
      // Its pod goes with it, and the VM with the pod.
      if (peerPod === "namespace-going") return;
      if (peerPod === "taken") continue;
      known.set(vm.sandboxId, peerPod);
      this.#deps.log.info("PeerPod is made", { sandboxId: vm.sandboxId, peerPod: name });
      return;
    }
    throw internal(`${MAX_NAMES} names for the PeerPod of pod ${vm.podNamespace}/${vm.podName} are taken`);
  }

  /** `taken`: the name is another sandbox's. */
  async #createNamed(
    vm: PodVm,
    name: string,
    podUid: string,
    signal: AbortSignal,
  ): Promise<PeerPod | "taken" | "namespace-going"> {
    const { client } = this.#deps;
    const draft = peerPodDraft(vm, name, {
      ...this.#options,
      podUid,
      blocksOwnerDeletion: this.#blocksOwnerDeletion,
    });
    try {
      return await client.create(PEER_PODS, draft, signal);
    } catch (error) {
      if (isCaaError(error, "already-exists")) {
        const ref = { name, namespace: vm.podNamespace };
        const there = await client.find(PEER_PODS, ref, signal);
        return there !== undefined && peerPodPlace(there).sandboxId === vm.sandboxId ? there : "taken";
      }
      if (isNamespaceGoing(error)) return "namespace-going";
      if (!this.#isAboutOwnerDeletion(error)) throw error;
      this.#blocksOwnerDeletion = false;
      return await this.#createNamed(vm, name, podUid, signal);
    }
  }

  /** Admission plugin OwnerReferencesPermissionEnforcement (OpenShift has it on) asks for a right on pods/finalizers. */
  #isAboutOwnerDeletion(error: unknown): boolean {
    return (
      this.#blocksOwnerDeletion &&
      isCaaError(error, "unauthorised") &&
      error.message.includes("blockOwnerDeletion")
    );
  }

  /** Where no container runtime tells the UID, as the Go adaptor finds it: the pod of that name, if it is on this node. */
  async #uidByName(vm: PodVm, signal: AbortSignal): Promise<string | undefined> {
    const ref = { name: vm.podName, namespace: vm.podNamespace };
    const pod = await this.#deps.client.find(PODS, ref, signal);
    return pod?.spec.nodeName === this.#options.nodeName ? pod.metadata.uid : undefined;
  }

  /** False while the VM is there. */
  async #release(known: Map<string, PeerPod>, peerPod: PeerPod, signal: AbortSignal): Promise<boolean> {
    const { client, log, vmExists } = this.#deps;
    const { sandboxId } = peerPodPlace(peerPod);
    const id = peerPod.spec?.instanceID ?? "";
    const vmName = peerPod.metadata.annotations?.[VM_NAME_ANNOTATION] ?? "";
    const isGone = this.#gone.has(sandboxId) || id === "" || !(await vmExists({ id, name: vmName }, signal));
    if (!isGone) {
      if (!this.#toldOf.has(sandboxId)) {
        log.warn("a PeerPod's VM is there but not in the journal; the reaper decides about it", {
          sandboxId,
          vmName,
        });
      }
      this.#toldOf.add(sandboxId);
      return false;
    }
    await this.#removeFinalizer(peerPod, signal);
    const { name, namespace, uid } = peerPod.metadata;
    try {
      await client.delete(PEER_PODS, { name, namespace }, { uid }, signal);
    } catch (error) {
      // Another object has its name by now.
      if (!isCaaError(error, "conflict")) throw error;
    }
    known.delete(sandboxId);
    this.#gone.delete(sandboxId);
    log.info("PeerPod is released", { sandboxId, peerPod: name });
    return true;
  }

  /** Ours and no other; it may be gone already. */
  async #removeFinalizer(peerPod: PeerPod, signal: AbortSignal): Promise<void> {
    const { client } = this.#deps;
    const { name, namespace, uid } = peerPod.metadata;
    const now = await client.find(PEER_PODS, { name, namespace }, signal);
    const index = now?.metadata.finalizers?.indexOf(PEER_POD_FINALIZER) ?? -1;
    if (now === undefined || now.metadata.uid !== uid || index < 0) return;
    const path = `/metadata/finalizers/${index}`;
    const operations = [
      { op: "test", path: "/metadata/uid", value: uid },
      { op: "test", path, value: PEER_POD_FINALIZER },
      { op: "remove", path },
    ] as const;
    try {
      await client.patch(PEER_PODS, { name, namespace }, { type: "json", operations }, signal);
    } catch (error) {
      if (!isCaaError(error, "not-found")) throw error;
    }
  }
}

/** The list of PeerPods was there a moment ago, so what is not found on a create is the namespace. */
const isNamespaceGoing = (error: unknown): boolean =>
  isCaaError(error, "not-found") ||
  (isCaaError(error, "unauthorised") && error.message.includes("being terminated"));
