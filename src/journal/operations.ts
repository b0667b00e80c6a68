import type { Clock } from "../platform/index.ts";

/** Told before and after every write, so that tests can end the process at each of them. */
export type JournalHook = (operation: string, phase: "before" | "after") => void;

/** A write that has ended, for metrics. */
export interface JournalWrite {
  readonly ok: boolean;
  /** The disk's part included. */
  readonly durationMs: number;
}

export interface JournalOptions {
  readonly stateDir: string;
  readonly clock: Clock;
  readonly hook?: JournalHook;
  /** How the log's descriptor is brought to the disk, fsync unless said otherwise: for tests whose time is not real. */
  readonly sync?: (fd: number) => Promise<void>;
  /** Told of every write. Must not throw. */
  readonly onWrite?: (write: JournalWrite) => void;
}

/** Facts of the node: `proxy_instance` is the shim-proxy's, `node_limit` what the Node object said last of PEERPODS_LIMIT_PER_NODE. */
export type MetaKey = "boot_id" | "proxy_instance" | "cluster_id" | "pool_revision" | "node_limit";

/** How much there is, for metrics. */
export interface JournalCounts {
  /** Sandboxes by phase, and VMs by phase; a phase in which there is none may be absent. */
  readonly sandboxes: ReadonlyMap<string, number>;
  readonly vms: ReadonlyMap<string, number>;
  /** VMs of the warm pool by phase. */
  readonly pool: ReadonlyMap<string, number>;
  /** VMs that are to go and whose delete has failed so far. */
  readonly deletesFailing: number;
  readonly slotsUsed: number;
  /** Of the database and of its write-ahead log. */
  readonly databaseBytes: number;
  readonly logBytes: number;
}

export interface Reservation {
  readonly id: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly netns: string;
  readonly requestJson: string;
  readonly vmName: string;
  /** The lowest VXLAN id to use. */
  readonly vxlanMinId: number;
  /** Most pod VMs of this node; negative: any number. */
  readonly limit: number;
  /** A waiting VM of this kind is taken from the pool; undefined: none is. */
  readonly poolKind: string | undefined;
  /** Whether a VM of the pool may be given up for this sandbox. */
  readonly mayYield: boolean;
}

/** What a CreateVM has prepared. */
export interface Preparation {
  readonly podUid: string | undefined;
  readonly networkJson: string;
  readonly volumesJson: string;
  readonly serverName: string;
  readonly caPem: string | undefined;
  readonly clientCertPem: string | undefined;
  readonly clientKeyPem: string | undefined;
  readonly userData: string;
}

export interface Usage {
  /** Slots taken: every VM until the cloud says that it is gone, the pool's included, and the reservations of CreateVM. */
  readonly used: number;
  /** Those of them whose delete is under way. */
  readonly deleting: number;
}

export type ReserveOutcome =
  | { readonly outcome: "reserved"; readonly vxlanId: number }
  /** `yielded`: a VM of the pool that makes room, journaled as deleting. */
  | {
      readonly outcome: "full";
      readonly usage: Usage;
      readonly yielded?: { readonly name: string; readonly vmId: string | undefined };
    }
  | { readonly outcome: "name-taken"; readonly byId: string | undefined };
