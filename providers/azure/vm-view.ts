import type { InstanceViewStatus, VirtualMachine } from "@azure/arm-compute";
import type { Vm, VmLifecycle } from "../contract.ts";
import type { AzureFailure } from "./arm/index.ts";

const status = (vm: VirtualMachine, prefix: string): InstanceViewStatus | undefined =>
  (vm.instanceView?.statuses ?? []).find((one) => (one.code ?? "").startsWith(prefix));

/** Whether Azure has finished making or changing the VM, one way or the other. */
export function isSettled(vm: VirtualMachine | undefined): boolean {
  return vm === undefined || /^(succeeded|failed|canceled)$/i.test(vm.provisioningState ?? "");
}

/** The lifecycle word for what Azure says: provisioning state first, power state where the instance view was asked for. */
export function lifecycleOf(vm: VirtualMachine): VmLifecycle {
  switch ((vm.provisioningState ?? "").toLowerCase()) {
    case "creating":
      return "creating";
    case "deleting":
      return "deleting";
    case "failed":
    case "canceled":
      return "failed";
    default: {
      const power = status(vm, "PowerState/")?.code ?? "";
      return /PowerState\/(stopped|deallocat)/i.test(power) ? "stopped" : "running";
    }
  }
}

/** Why the VM failed, from `ProvisioningState/failed/<code>` of its instance view; undefined when it did not. */
export function failureOf(vm: VirtualMachine): AzureFailure | undefined {
  if (lifecycleOf(vm) !== "failed") return undefined;
  const failed = status(vm, "ProvisioningState/failed");
  return {
    status: 0,
    code: failed?.code?.split("/")[2] ?? "",
    message: failed?.message ?? "the VM is in state Failed, and Azure does not say why",
  };
}

/** The contract's view of a VM. */
export function viewVm(vm: VirtualMachine, addresses: readonly string[]): Vm {
  const failure = failureOf(vm);
  return {
    id: vm.id ?? "",
    name: vm.name ?? "",
    lifecycle: lifecycleOf(vm),
    addresses,
    tags: vm.tags ?? {},
    ...(vm.timeCreated ? { createdAtMs: vm.timeCreated.getTime() } : {}),
    ...(failure ? { detail: `${failure.code} ${failure.message}`.trim() } : {}),
  };
}
