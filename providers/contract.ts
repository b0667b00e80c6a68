import type { Clock, Exec, Log, Secret } from "../src/platform/index.ts";

/** How an option's text is read. `tags` is `k=v,k=v`; `duration` is Go's syntax (`5m`, `1h30m`), given in milliseconds. */
export type OptionKind = "string" | "int" | "bool" | "list" | "tags" | "duration";

/** One setting, declared once: flag, environment variable, default, validation and help all come from here. */
export interface OptionSpec {
  /** The flag without dashes, as the Go adaptor spells it. */
  readonly flag: string;
  /** The environment variable (a key of `peer-pods-cm` or its Secret); absent: flag only. */
  readonly env?: string;
  readonly kind: OptionKind;
  /** As it would be written; absent: unset. */
  readonly default?: string;
  /** Unset is an error at start. */
  readonly required?: boolean;
  /** Never shown. */
  readonly secret?: boolean;
  /**
   * A change in the watched ConfigMap takes effect at once, for VMs made from then on; else at the next start. Of a provider's
   * options only those that nothing about VMs that exist depends on: how they are found, reached and deleted.
   */
  readonly live?: boolean;
  /** One line for `--help` and the configuration reference: meaning, unit, accepted form. */
  readonly help: string;
  /** Given the parsed text, why it is not acceptable; undefined if it is. */
  readonly validate?: (value: string) => string | undefined;
}

/** The parsed values of declared options. Asking for one that was not declared, or as another kind, throws `internal`. */
export interface OptionReader {
  /** "" when unset. */
  string(flag: string): string;
  secret(flag: string): Secret | undefined;
  /** undefined when unset. */
  int(flag: string): number | undefined;
  bool(flag: string): boolean;
  /** Trimmed items, empty ones dropped. */
  list(flag: string): readonly string[];
  tags(flag: string): Readonly<Record<string, string>>;
  /** undefined when unset. */
  durationMs(flag: string): number | undefined;
}

/** Who we are, for ownership tags. */
export interface OwnerIdentity {
  /** Empty: unknown; list and reaper must not be used. */
  readonly clusterId: string;
  readonly nodeName: string;
}

/** How one try of a call to the cloud went; what is not said (a lost answer) counts as `unavailable`. */
export type CloudCallOutcome =
  | "ok"
  | "not-found"
  | "conflict"
  | "refused"
  | "unauthorised"
  | "throttled"
  | "unavailable"
  | "cancelled";

/** One try of a call to the cloud, for the metrics. */
export interface CloudCall {
  /** Out of a small fixed set of the provider, without ids or names: `virtualMachines.get`. */
  readonly operation: string;
  readonly outcome: CloudCallOutcome;
  readonly durationMs: number;
  /** It repeats a try that failed. */
  readonly repeated: boolean;
}

export interface ProviderContext {
  readonly clock: Clock;
  readonly exec: Exec;
  readonly log: Log;
  readonly owner: OwnerIdentity;
  /** Told of every try of every call to the cloud. Must not throw. */
  readonly onCall?: (call: CloudCall) => void;
}

/** Tag keys that mark a VM and everything made with it as ours. User tags never override them. */
export const OwnerTag = {
  Cluster: "peerpods-cluster",
  Node: "peerpods-node",
  Sandbox: "peerpods-sandbox",
  Namespace: "peerpods-namespace",
  Pod: "peerpods-pod",
} as const;

/** OwnerTag.Sandbox of a VM that was made ahead of its pod, with no namespace and no pod; a pod that takes it changes no tag. */
export const POOL_SANDBOX = "pool";

/** What the pod asks for; 0 and "" mean not asked for. */
export interface VmSize {
  readonly machineType: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly gpus: number;
  /** SGX enclave page cache (`kubernetes.azure.com/sgx_epc_mem_in_MiB`), MiB; absent or 0: none asked for. */
  readonly epcMiB?: number;
}

export interface VmRequest {
  /** Chosen once and journaled: at most 63 characters of a-z, 0-9 and `-`. The create is idempotent by it. */
  readonly name: string;
  /** All OwnerTag keys. */
  readonly tags: Readonly<Record<string, string>>;
  /** The cloud-config document. */
  readonly userData: Secret;
  readonly size: VmSize;
  /** Overrides the configured image; "" does not. */
  readonly image: string;
  /** The tunnel has a network interface of its own: the second address is the VXLAN remote. */
  readonly dedicatedTunnelInterface: boolean;
  /** A second network interface for egress through the pod VM. */
  readonly externalNetworkInterface: boolean;
  /** Disks to attach, in LUN order. */
  readonly volumes: readonly { readonly diskId: string }[];
}

/** How a VM is found again: by id once it is known, else by its exact name. */
export interface VmRef {
  readonly id?: string;
  readonly name: string;
}

export type VmLifecycle = "creating" | "running" | "stopped" | "failed" | "deleting";

export interface Vm {
  /** The provider's own identifier: what PodVMInfo and the PeerPod object show. */
  readonly id: string;
  readonly name: string;
  readonly lifecycle: VmLifecycle;
  /** IPv4; the first is the one to dial. Empty while not known. */
  readonly addresses: readonly string[];
  readonly tags: Readonly<Record<string, string>>;
  /** Milliseconds since the epoch; undefined when the cloud does not say. */
  readonly createdAtMs?: number;
  /** For people: why it failed or is not ready. */
  readonly detail?: string;
}

export interface CreateOptions {
  readonly signal: AbortSignal;
  /** Called as soon as the id is known, before addresses are. May be called again with the same id. */
  readonly onId: (id: string) => void;
  /** What is being waited for, for people: "waiting for the VM's address". */
  readonly onProgress: (text: string) => void;
}

export interface Finding {
  readonly check: string;
  readonly level: "ok" | "warning" | "error";
  /** What is wrong and what to change; for `ok` what was seen. */
  readonly text: string;
}

export interface ProviderLimits {
  /** Most bytes of user data before any encoding of the cloud's own. */
  readonly userDataBytes: number;
}

/**
 * One cloud. Every failure is a CaaError: `unavailable` (try again), `throttled` (retryAfterMs), `quota`, `capacity`,
 * `unauthorised`, `invalid-config` or `invalid-request`, `gone`, `cancelled`. providers/conformance holds all of them to this.
 */
export interface Provider {
  readonly name: string;
  readonly limits: ProviderLimits;
  /** Credentials, subnet, image, sizes, quota: what the operator must know. Throws only when cancelled. */
  verify(signal: AbortSignal): Promise<readonly Finding[]>;
  /**
   * Makes the VM and waits until it has an address. A VM of that name with the same sandbox tag is adopted, with another
   * `already-exists`. When it fails or is cancelled a VM may exist: the caller deletes by name.
   */
  create(request: VmRequest, options: CreateOptions): Promise<Vm>;
  /** The VM, or undefined when the cloud says that there is none. */
  get(ref: VmRef, signal: AbortSignal): Promise<Vm | undefined>;
  /** Resolves when the VM and all that was made with it are gone. Deleting what is gone succeeds. */
  delete(ref: VmRef, signal: AbortSignal): Promise<void>;
  /** All VMs with these tags (a complete list, or it throws), and those whose exact name is in `names`. */
  list(filter: ListFilter, signal: AbortSignal): Promise<readonly Vm[]>;
  /** Where the cloud can: replaces the user data of a VM that has not read it yet. */
  updateUserData?(ref: VmRef, userData: Secret, signal: AbortSignal): Promise<void>;
  /** Where the cloud can: the newest part of the VM's console. */
  console?(ref: VmRef, signal: AbortSignal): Promise<string>;
  /** Where the cloud tells: how many more VMs of the default size fit. */
  quota?(signal: AbortSignal): Promise<number | undefined>;
  close(): Promise<void>;
}

export interface ListFilter {
  readonly clusterId: string;
  /** Absent: VMs of all nodes. */
  readonly nodeName?: string;
  /** Journaled names whose tags may not have been written yet. */
  readonly names?: readonly string[];
}

export interface ProviderModule {
  readonly name: string;
  readonly options: readonly OptionSpec[];
  /** Validates the options and builds the provider; makes no call to the cloud. Throws `invalid-config`. */
  create(context: ProviderContext, options: OptionReader): Promise<Provider>;
}
