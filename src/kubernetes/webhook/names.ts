/** Annotations that the adaptor reads of a pod (see src/sandbox/request.ts), and those that the webhook keeps for itself. */
export const Annotation = {
  MachineType: "io.katacontainers.config.hypervisor.machine_type",
  Vcpus: "io.katacontainers.config.hypervisor.default_vcpus",
  MemoryMiB: "io.katacontainers.config.hypervisor.default_memory",
  Gpus: "io.katacontainers.config.hypervisor.default_gpus",
  Initdata: "io.katacontainers.config.hypervisor.cc_init_data",
  /** What each container may use, for the shim-proxy; containerd passes this prefix on to the shim. */
  Limits: "io.katacontainers.peerpods.limits",
  /** What the containers asked for before it was taken off them, for the webhook itself when it is called again. */
  Original: "kata.peerpods.io/original-resources",
} as const;

/** Enclave memory as AKS's device plugin counts it: whole MiB. */
export const EPC_RESOURCE = "kubernetes.azure.com/sgx_epc_mem_in_MiB";

/** Kubernetes' own resources have no domain, or its own. */
export function isExtendedResource(name: string): boolean {
  return name.includes("/") && !/^([^/]+\.)?kubernetes\.io\//.test(name);
}
