import { createHash } from "node:crypto";
import {
  type Draft,
  labelValue,
  NODE_LABEL,
  PEER_POD_FINALIZER,
  type PeerPod,
  peerPodPlace,
  SANDBOX_LABEL,
} from "../client/index.ts";

/** A VM that the journal has, of a sandbox. */
export interface PodVm {
  readonly sandboxId: string;
  readonly podNamespace: string;
  readonly podName: string;
  readonly podUid: string | undefined;
  readonly vmName: string;
  /** The provider's id; undefined while the cloud has not told it. */
  readonly instanceId: string | undefined;
  /** It is to go, or is going. */
  readonly isDeleting: boolean;
}

/** Annotation with the VM's name in the cloud. */
export const VM_NAME_ANNOTATION = "confidentialcontainers.org/vm-name";

export interface PeerPodPlan {
  readonly create: readonly PodVm[];
  /** PeerPods whose sandbox is not in the journal: released once their VM is proven gone. */
  readonly release: readonly PeerPod[];
}

/** Compares the journal's VMs with this node's PeerPods. A VM that is going keeps its PeerPod until it is gone. */
export function planPeerPods(vms: readonly PodVm[], peerPods: readonly PeerPod[]): PeerPodPlan {
  const present = new Set(peerPods.map((peerPod) => peerPodPlace(peerPod).sandboxId));
  const journaled = new Set(vms.map((vm) => vm.sandboxId));
  return {
    create: vms.filter((vm) => vm.instanceId !== undefined && !vm.isDeleting && !present.has(vm.sandboxId)),
    release: peerPods.filter((peerPod) => {
      const { sandboxId } = peerPodPlace(peerPod);
      return sandboxId !== "" && !journaled.has(sandboxId);
    }),
  };
}

const MAX_NAME_CHARS = 253;
const SUFFIX_CHARS = 5;
const SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

/**
 * `<pod>-resource-<5 characters>`, as the Go adaptor names them; the five are made of the sandbox's id and not by chance, so that
 * a create whose answer was lost finds its own object. `attempt` gives another name where that one is taken.
 */
export function peerPodName(podName: string, sandboxId: string, attempt: number): string {
  const digest = createHash("sha256").update(`${sandboxId}/${attempt}`).digest();
  const suffix = Array.from(
    digest.subarray(0, SUFFIX_CHARS),
    (byte) => SUFFIX_ALPHABET[byte % SUFFIX_ALPHABET.length],
  ).join("");
  const end = `-resource-${suffix}`;
  return `${podName.slice(0, MAX_NAME_CHARS - end.length)}${end}`;
}

export interface PeerPodOwner {
  readonly podUid: string;
  readonly nodeName: string;
  readonly provider: string;
  /** Where the API server demands more rights for it, it is left out: nothing needs it. */
  readonly blocksOwnerDeletion: boolean;
}

/** The object for a VM, as the Go adaptor writes it, with labels and annotations of ours. */
export function peerPodDraft(vm: PodVm, name: string, owner: PeerPodOwner): Draft {
  const { nodeName, provider, podUid, blocksOwnerDeletion } = owner;
  return {
    metadata: {
      name,
      namespace: vm.podNamespace,
      finalizers: [PEER_POD_FINALIZER],
      labels: { [NODE_LABEL]: labelValue(nodeName), [SANDBOX_LABEL]: labelValue(vm.sandboxId) },
      annotations: {
        [NODE_LABEL]: nodeName,
        [SANDBOX_LABEL]: vm.sandboxId,
        [VM_NAME_ANNOTATION]: vm.vmName,
      },
      ownerReferences: [
        {
          apiVersion: "v1",
          kind: "Pod",
          name: vm.podName,
          uid: podUid,
          controller: true,
          ...(blocksOwnerDeletion && { blockOwnerDeletion: true }),
        },
      ],
    },
    spec: { cloudProvider: provider, instanceID: vm.instanceId },
  };
}
