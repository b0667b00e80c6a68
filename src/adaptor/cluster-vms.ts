import { OwnerTag } from "../../providers/contract.ts";
import type { Journal } from "../journal/index.ts";
import type { PodVm } from "../kubernetes/pods/index.ts";

/** The journal's VMs that belong to a pod: not those of the warm pool, nor those that the reaper found. */
export function podVmsOf(journal: Journal): readonly PodVm[] {
  return journal.vms().flatMap((vm): readonly PodVm[] => {
    // One of the warm pool may still turn out to be of no use, and the PeerPod is to name the VM that the pod gets.
    if (vm.sandboxId === undefined || vm.userDataDue) return [];
    const sandbox = journal.sandbox(vm.sandboxId);
    return [
      {
        sandboxId: vm.sandboxId,
        podNamespace: sandbox?.podNamespace ?? vm.tags[OwnerTag.Namespace] ?? "",
        podName: sandbox?.podName ?? vm.tags[OwnerTag.Pod] ?? "",
        podUid: sandbox?.podUid,
        vmName: vm.name,
        instanceId: vm.vmId,
        isDeleting: vm.phase === "deleting" || sandbox === undefined,
      },
    ];
  });
}
