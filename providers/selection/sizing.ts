import { invalidConfig } from "../../src/errors/index.ts";
import type { VmSize } from "../contract.ts";

/** Values of `POD_VM_SIZING`. */
export const SIZING_POLICIES = ["upstream", "aks"] as const;
export type SizingPolicy = (typeof SIZING_POLICIES)[number];

/** What a pod VM needs for itself under `aks`: 1 vCPU and 2 GB, to which the pod's limits are added (AKS Pod Sandboxing). */
const AKS_BASE = { vcpus: 1, memoryMiB: 2048 } as const;

/** Reads `POD_VM_SIZING`; "" is `upstream`. Throws `invalid-config`. */
export function parseSizingPolicy(text: string): SizingPolicy {
  const policy = SIZING_POLICIES.find((name) => name === (text.trim() || "upstream"));
  if (!policy) {
    throw invalidConfig(`POD_VM_SIZING is ${JSON.stringify(text)}: use ${SIZING_POLICIES.join(" or ")}`);
  }
  return policy;
}

/**
 * The size to look for, from what the webhook summed. `upstream` takes the sums as they are; `aks` adds the VM's own
 * base, so that the containers get what they asked for in full. An explicit machine type is left alone.
 */
export function applySizing(policy: SizingPolicy, size: VmSize): VmSize {
  if (policy === "upstream" || size.machineType !== "") return size;
  return {
    ...size,
    vcpus: AKS_BASE.vcpus + size.vcpus,
    memoryMiB: AKS_BASE.memoryMiB + size.memoryMiB,
  };
}
