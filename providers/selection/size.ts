/** One VM size (Azure) or instance profile (IBM) that the cloud offers here. */
export interface OfferedSize {
  readonly name: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly gpus: number;
  /** SGX enclave page cache, MiB; 0: none. */
  readonly epcMiB: number;
}

/** What the operator allows, and what the cloud offers of it. */
export interface SizeRules {
  /** Sizes offered here; those that are not allowed are passed over. */
  readonly offered: readonly OfferedSize[];
  /** The operator's allow-list; empty: the default only. */
  readonly allowed: readonly string[];
  /** For a pod that asks for nothing. Used without a look at the allow-list, as the Go adaptor does. */
  readonly defaultSize: string;
  /** The variable that holds the allow-list, for messages: `AZURE_INSTANCE_SIZES`. */
  readonly allowedKey: string;
}

/** Smallest first: by GPUs, then memory, then vCPUs, then name, so that the choice never depends on the cloud's order. */
export function compareSizes(a: OfferedSize, b: OfferedSize): number {
  return (
    a.gpus - b.gpus ||
    a.memoryMiB - b.memoryMiB ||
    a.vcpus - b.vcpus ||
    (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  );
}
