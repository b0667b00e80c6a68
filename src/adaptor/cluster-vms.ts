import { OwnerTag } from "../../providers/contract.ts";
import type { Journal } from "../journal/index.ts";
import type { PodVm } from "../kubernetes/pods/index.ts";

/**
 * The journal's VMs that belong to a pod: not those that the reaper found, nor those of the warm pool. One of the pool that a pod
 * was given may still turn out to be of no use, and the PeerPod is to name the VM that the pod gets.
 */
export const podVmsOf = (journal: Journal): readonly PodVm[] =>
  journal.podVms().map(
    (vm): PodVm => ({
      sandboxId: vm.sandboxId,
      podNamespace: vm.podNamespace ?? vm.tags[OwnerTag.Namespace] ?? "",
      podName: vm.podName ?? vm.tags[OwnerTag.Pod] ?? "",
      podUid: vm.podUid,
      vmName: vm.vmName,
      instanceId: vm.vmId,
      isDeleting: vm.isDeleting || vm.podName === undefined,
    }),
  );
