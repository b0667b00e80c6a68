import type { Nano } from "./quantity.ts";

/** What a pod asks a VM for; 0 and "" mean not asked for. */
export interface MachineRequest {
  readonly machineType: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly gpus: number;
  readonly epcMiB: number;
}

export const INIT_POLICIES = ["sum", "effective"] as const;
export const UNKNOWN_RESOURCE_POLICIES = ["strip", "keep", "deny"] as const;
export const BAD_ANNOTATION_POLICIES = ["warn", "deny", "ignore"] as const;

/** What the operator decided. */
export interface WebhookPolicy {
  /** Pods of this class are ours; all others pass untouched. */
  readonly runtimeClass: string;
  /** The resource of which each pod asks for one: `kata.peerpods.io/vm`. */
  readonly extendedResource: string;
  /**
   * How init containers count: `sum` adds them to the others, as the Go webhook does; `effective` takes what Kubernetes says
   * that the pod needs at any one time.
   */
  readonly initContainers: (typeof INIT_POLICIES)[number];
  /** For pods that say nothing of CPU, or of memory; 0: the adaptor's default size. */
  readonly defaultCpu: Nano;
  readonly defaultMemory: Nano;
  /** Resources that mean a GPU of the VM. */
  readonly gpuResources: readonly string[];
  /** Devices of the worker, which a VM elsewhere does not have: other extended resources, and claims. */
  readonly unknownResources: (typeof UNKNOWN_RESOURCE_POLICIES)[number];
  /** Annotations of the pod with which its VM could not be made. */
  readonly badAnnotations: (typeof BAD_ANNOTATION_POLICIES)[number];
  /** Machine types that pods may name, and the variable to change; undefined: not known here. */
  readonly allowedMachineTypes: { readonly names: readonly string[]; readonly key: string } | undefined;
  /**
   * The machine type for a pod that asks for enclave memory: the one it names, if that has enough, else the smallest allowed one.
   * Throws with a text for the user. undefined: the provider has none.
   */
  readonly chooseEnclaveMachine: ((request: MachineRequest) => string) | undefined;
}
