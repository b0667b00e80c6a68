import type { Provider } from "../../providers/contract.ts";
import type { Journal } from "../journal/index.ts";
import type { Clock, Live, Log, Secret } from "../platform/index.ts";
import type { ShimProxyControl } from "../shim-proxy/index.ts";
import type { VmIdentity } from "../tls/index.ts";
import type { PodNetworkSpec } from "../user-data/index.ts";
import type { SandboxConfig } from "./config.ts";
import type { LifecycleNotice, PodRef } from "./notices.ts";
import type { DirectVolumeEntry } from "./volumes.ts";

/**
 * The pod's network as the lifecycle needs it; what is read and planned travels through the journal as text that only
 * the implementation understands.
 */
export interface PodNetworking {
  /** Reads the pod's namespace. */
  inspect(netns: string, signal: AbortSignal): Promise<string>;
  /** What the VM is told of it. */
  describe(facts: string, vxlanId: number): PodNetworkSpec;
  /** Whether the tunnel has a network interface of its own in the VM. */
  dedicated(facts: string): boolean;
  plan(input: TunnelInput): string;
  /** May be repeated. */
  setUp(plan: string, signal: AbortSignal): Promise<void>;
  /** May be repeated, and for a tunnel of which nothing or half is there. */
  tearDown(plan: string, signal: AbortSignal): Promise<void>;
}

export interface TunnelInput {
  readonly facts: string;
  readonly netns: string;
  readonly vxlanId: number;
  readonly vmAddresses: readonly string[];
}

/** A sandbox as the container runtime (CRI) sees it. */
export type RuntimeSandboxState = "ready" | "not-ready";

/** What the container runtime knows. */
export interface Runtime {
  /** The UID of the pod that this sandbox belongs to, from the runtime's own record (known before the shim runs). */
  podUid(sandboxId: string, signal: AbortSignal): Promise<string | undefined>;
  /** All sandboxes of the node, complete, or it throws. */
  list(signal: AbortSignal): Promise<ReadonlyMap<string, RuntimeSandboxState>>;
}

/** The sandbox's directory below PODS_DIR. */
export interface SandboxFiles {
  makeDir(path: string): void;
  /** Succeeds when it is gone already. */
  removeDir(path: string): void;
}

/** What the pod's images are pulled with. */
export interface PullSecrets {
  /**
   * The pod VM's auth.json; undefined: the pod has no pull secrets, or they cannot be had, which the implementation tells where
   * people look. Rejects with the signal's reason only: a cluster that does not answer stops no pod.
   */
  authJson(pod: PodRef, signal: AbortSignal): Promise<Secret | undefined>;
}

/** What CSI drivers have left for this node's pods. */
export type DirectVolumes = () => readonly DirectVolumeEntry[];

export interface SandboxDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Journal;
  readonly provider: Provider;
  readonly networking: PodNetworking;
  readonly proxy: ShimProxyControl;
  /** Absent: no container runtime to ask. */
  readonly runtime?: Runtime;
  /** Absent: not in Kubernetes. */
  readonly pullSecrets?: PullSecrets;
  /** Resolves once VMs can carry their cluster's tag; rejects `unavailable` when that takes long. Absent: there is nothing to wait for. */
  readonly identified?: (signal: AbortSignal) => Promise<void>;
  readonly files: SandboxFiles;
  readonly directVolumes: DirectVolumes;
  readonly issueIdentity: (serverName: string) => Promise<VmIdentity>;
  /** Changes while the process runs: read at each use. */
  readonly config: Live<SandboxConfig>;
  /** Told of what happens in the life of pods, in order; what it throws is logged and changes nothing. */
  readonly onNotice?: (notice: LifecycleNotice) => void;
}
