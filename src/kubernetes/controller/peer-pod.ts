import { PEER_POD_FINALIZER, type PeerPod, peerPodPlace } from "../client/index.ts";
import { VM_NAME_ANNOTATION } from "./names.ts";
import type { NodeState } from "./resources.ts";

/** What a PeerPod says, with "" for what it does not: one made by hand or by the Go adaptor may lack anything. */
export interface PeerPodFacts {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly isDeleting: boolean;
  /** It has our finalizer: its VM is still to be deleted. */
  readonly isHeld: boolean;
  readonly provider: string;
  readonly instanceId: string;
  /** As our adaptors note them. */
  readonly nodeName: string;
  readonly sandboxId: string;
  readonly vmName: string;
  /** The pod that owns it. */
  readonly ownerName: string;
  readonly ownerUid: string;
  /** Seconds since the epoch, as coarse as Kubernetes has it; undefined: not known. */
  readonly createdSeconds: number | undefined;
}

export function readPeerPod(peerPod: PeerPod): PeerPodFacts {
  const { metadata, spec } = peerPod;
  const owner = metadata.ownerReferences?.find(
    ({ kind, apiVersion }) => kind === "Pod" && apiVersion === "v1",
  );
  const createdMs = Date.parse(metadata.creationTimestamp ?? "");
  return {
    uid: metadata.uid,
    namespace: metadata.namespace ?? "",
    name: metadata.name,
    isDeleting: metadata.deletionTimestamp !== undefined,
    isHeld: metadata.finalizers?.includes(PEER_POD_FINALIZER) === true,
    provider: spec?.cloudProvider ?? "",
    instanceId: spec?.instanceID ?? "",
    ...peerPodPlace(peerPod),
    vmName: metadata.annotations?.[VM_NAME_ANNOTATION] ?? "",
    ownerName: owner?.name ?? "",
    ownerUid: owner?.uid ?? "",
    createdSeconds: Number.isNaN(createdMs) ? undefined : Math.floor(createdMs / 1000),
  };
}

/**
 * Timestamps have whole seconds, and the clocks of a cluster's API servers differ; a gap above this orders two objects for certain.
 * A resource version does not: it rises with every change.
 */
const CERTAIN_SECONDS = 60;

/** Whether `one` was made before `other`, for certain. */
export const isCertainlyOlder = (one: PeerPodFacts, other: PeerPodFacts): boolean =>
  one.createdSeconds !== undefined &&
  other.createdSeconds !== undefined &&
  other.createdSeconds - one.createdSeconds > CERTAIN_SECONDS;

/** A PeerPod whose pod has a newer one. */
export interface StalePeerPod {
  readonly facts: PeerPodFacts;
  readonly newer: PeerPodFacts;
}

/**
 * PeerPods of VMs that an earlier sandbox of the same pod left: of one owner UID, and certainly older than another that has a VM.
 * The newest is never among them, and neither is one that may be the newest. Ours (those with a node) are not either: the adaptor of
 * that node knows which sandbox is which.
 */
export function staleOnes(all: readonly PeerPodFacts[]): readonly StalePeerPod[] {
  const byOwner = Map.groupBy(
    all.filter((facts) => facts.ownerUid !== "" && !facts.isDeleting),
    (facts) => facts.ownerUid,
  );
  return [...byOwner.values()].flatMap((group) =>
    group.flatMap((facts) => {
      if (facts.nodeName !== "") return [];
      const newer = group.find((other) => other.instanceId !== "" && isCertainlyOlder(facts, other));
      return newer === undefined ? [] : [{ facts, newer }];
    }),
  );
}

/** Whether another PeerPod of the same pod is certainly newer: the pod's present VM is that one's. */
export const isSuperseded = (facts: PeerPodFacts, all: readonly PeerPodFacts[]): boolean =>
  facts.ownerUid !== "" &&
  all.some(
    (other) => other.uid !== facts.uid && other.ownerUid === facts.ownerUid && isCertainlyOlder(facts, other),
  );

/**
 * The pod that owns a PeerPod. `ending`: being deleted, or its containers have ended for good. `unowned`: the PeerPod names none.
 */
export type OwnerState = "living" | "ending" | "gone" | "unowned";

export interface ReleaseQuestion {
  readonly facts: PeerPodFacts;
  /** Of the node that the PeerPod names; undefined: it names none. */
  readonly node: NodeState | undefined;
  /** The node was gone or out of service long enough to act on it whatever the pods say. */
  readonly isNodeProvenGone: boolean;
  readonly owner: OwnerState;
  readonly isSuperseded: boolean;
  /** How long we have seen it being deleted. */
  readonly deletingForMs: number;
  readonly graceMs: number;
}

export type ReleaseAnswer =
  /** The VM is to be deleted, then the finalizer removed. */
  | { readonly release: true; readonly why: string }
  | { readonly release: false; readonly why: string; readonly kind: "adaptor" | "ending" | "living" };

/**
 * Whether the controller deletes the VM of a PeerPod that is being deleted with our finalizer. Who is asked first is the adaptor of
 * a living node. A VM on which a living pod runs is never deleted, whoever deleted the PeerPod.
 */
export function mayRelease(question: ReleaseQuestion): ReleaseAnswer {
  const { facts, node, owner } = question;
  const isLate = question.deletingForMs >= question.graceMs;
  if (node === "alive" && !isLate) {
    return { release: false, kind: "adaptor", why: `the adaptor of node ${facts.nodeName} deletes its VM` };
  }
  if (owner === "living" && !question.isSuperseded && !question.isNodeProvenGone) {
    return {
      release: false,
      kind: "living",
      why: `pod ${facts.ownerName} still lives on its VM; who wants the VM gone deletes the pod`,
    };
  }
  if (owner === "ending" && node === undefined && !isLate && !question.isSuperseded) {
    return { release: false, kind: "ending", why: `pod ${facts.ownerName} is still ending` };
  }
  return { release: true, why: reasonOf(question) };
}

function reasonOf({ facts, node, owner, isSuperseded: superseded }: ReleaseQuestion): string {
  if (node === "absent") return `node ${facts.nodeName} is gone`;
  if (node === "out-of-service") return `node ${facts.nodeName} is out of service`;
  if (node === "alive") return `the adaptor of node ${facts.nodeName} has not deleted its VM in time`;
  if (superseded) return "its pod has a newer VM";
  return owner === "unowned" ? "it is being deleted, and names no pod" : "its pod is gone";
}
