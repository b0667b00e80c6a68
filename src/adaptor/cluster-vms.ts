import { OwnerTag } from "../../providers/contract.ts";
import type { Journal } from "../journal/index.ts";
import type { PodVm } from "../kubernetes/pods/index.ts";

/** The journal's VMs that belong to a pod: not those of the warm pool, nor those that the reaper found. */
export function podVmsOf(journal: Journal): readonly PodVm[] {
  return journal.vms().flatMap((vm): readonly PodVm[] => {
    if (vm.sandboxId === undefined) return [];
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
