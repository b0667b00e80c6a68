import type { OwnerIdentity } from "../../providers/contract.ts";
import type { CustomIdentity, TlsProfile } from "../tls/index.ts";
import type { Initdata } from "../user-data/index.ts";
import type { PoolEntry } from "./pool-kinds.ts";

/** How adaptor and VMs know each other. `load` reads the operator's files afresh. */
export type TlsMode =
  | { readonly mode: "per-vm" }
  | { readonly mode: "files"; readonly load: () => Promise<CustomIdentity> }
  | { readonly mode: "off" };

/** The lifecycle's settings; the cli fills it from flags and variables. */
export interface SandboxConfig {
  readonly podsDir: string;
  /** Most pod VMs of this node; negative: any number. */
  readonly limit: number;
  /** How long a CreateVM waits for a slot whose VM is being deleted. */
  readonly limitWaitMs: number;
  /** How long a CreateVM that no StartVM follows keeps its slot. */
  readonly reservationMs: number;
  readonly vxlanMinId: number;
  readonly forwarderPort: number;
  /** How long a booted VM may take to answer. */
  readonly proxyTimeoutMs: number;
  readonly tls: TlsMode;
  readonly tlsProfile: TlsProfile;
  readonly tlsSkipVerify: boolean;
  /** INITDATA: the operator's initdata for pods that bring none. */
  readonly globalInitdata: Initdata | undefined;
  readonly scratchSpace: boolean;
  readonly externalNetworkViaPodVm: boolean;
  readonly owner: OwnerIdentity;
  /** How long one attempt to delete a VM may take. */
  readonly deleteAttemptMs: number;
  /** Longest pause between attempts to delete a VM. */
  readonly deleteRetryMaxMs: number;
  /** Without a container runtime to ask: how long a sandbox without its shim lives on. */
  readonly orphanGraceMs: number;
  /** How often the provider is asked whether the VMs of running sandboxes are still there; 0: never. */
  readonly vmCheckIntervalMs: number;
  /** VMs that are started ahead of their pods; needs a provider that delivers user data late. */
  readonly pool: readonly PoolEntry[];
  /** What the provider makes VMs from, in a few characters: those that wait in the pool from something else are outdated. */
  readonly vmRevision: string;
}
