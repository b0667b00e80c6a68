import { invalidConfig } from "../../src/errors/index.ts";
import type { Provider, VmSize } from "../contract.ts";

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

/** The same provider, asked for VMs of the policy's size. */
export function withSizing(provider: Provider, policy: SizingPolicy): Provider {
  if (policy === "upstream") return provider;
  return {
    name: provider.name,
    limits: provider.limits,
    verify: (signal) => provider.verify(signal),
    create: (request, options) =>
      provider.create({ ...request, size: applySizing(policy, request.size) }, options),
    get: (ref, signal) => provider.get(ref, signal),
    delete: (ref, signal) => provider.delete(ref, signal),
    list: (filter, signal) => provider.list(filter, signal),
    ...optionalParts(provider),
    close: () => provider.close(),
  };
}

/** What a provider may lack must still be missing. */
function optionalParts(provider: Provider): Pick<Provider, "updateUserData" | "console" | "quota"> {
  return {
    ...(provider.updateUserData && { updateUserData: provider.updateUserData.bind(provider) }),
    ...(provider.console && { console: provider.console.bind(provider) }),
    ...(provider.quota && { quota: provider.quota.bind(provider) }),
  };
}
