import type { OwnerIdentity, Provider } from "../contract.ts";

/** Calls to a cloud, by what they do. */
export type CallKind = "create" | "read" | "delete" | "other";

/** How calls fail; each cloud's fake expresses them in its own words. `lost`: done, then cut without an answer; `hang`: never answered, not done. */
export type CloudFaultKind =
  | "quota"
  | "capacity"
  | "throttled"
  | "unavailable"
  | "unauthorised"
  | "lost"
  | "hang";

export interface CloudFault {
  readonly on: CallKind | "any";
  readonly kind: CloudFaultKind;
  /** Calls that fail; default 1. */
  readonly count?: number;
  /** Fitting calls that are let through before; default 0. */
  readonly skip?: number;
  readonly retryAfterMs?: number;
}

/** A call as the cloud saw it. */
export interface SeenCall {
  readonly kind: CallKind;
  /** By a monotonic clock, when it arrived. */
  readonly atMs: number;
  readonly fault: CloudFaultKind | undefined;
}

/** What to do with a call that was held: `drop` cuts it without an answer. */
export type Verdict = "go" | "drop";

/** The cloud behind a provider, real or fake, as a test controls it. */
export interface CloudControl {
  /** Faults that such a cloud cannot have; tests of them are skipped. */
  readonly lacks?: readonly CloudFaultKind[];
  fault(fault: CloudFault): Promise<void>;
  clearFaults(): Promise<void>;
  calls(): readonly SeenCall[];
  /**
   * Calls `hook` when call `number` (from now; 0 is the next) has arrived and nothing is done (`before`), or is done and not answered (`after`).
   * The call waits for the verdict. A second intercept replaces the first; undefined ends it.
   */
  intercept(
    call: { readonly number: number; readonly moment: "before" | "after" } | undefined,
    hook: () => Promise<Verdict>,
  ): void;
  /** Everything that exists in the account for VMs (VMs, disks, interfaces, processes ...), one text each. */
  resources(): Promise<readonly string[]>;
  /** Exact names of the VMs that exist, deleting ones included. */
  vmNames(): Promise<readonly string[]>;
  /** From now on the tags of a new VM are seen this much later than the VM; undefined where the cloud writes both at once. */
  delayTags?(ms: number): Promise<void>;
  /** The next VM does not come up. */
  failNextBoot(): Promise<void>;
  /** Somebody deletes the VM behind our back; resolves when it is gone. */
  vanish(name: string): Promise<void>;
}

export interface ProviderSettings {
  readonly owner: OwnerIdentity;
  /** Tags that the operator configured for all VMs. */
  readonly userTags?: Readonly<Record<string, string>>;
}

/** One cloud account and the provider under test. */
export interface ProviderHarness extends AsyncDisposable {
  readonly cloud: CloudControl;
  /** A provider as a freshly started adaptor would have it: it knows nothing of what others made. */
  provider(settings: ProviderSettings): Promise<Provider>;
}

/** Makes an empty account for one test. */
export type MakeHarness = () => Promise<ProviderHarness>;
