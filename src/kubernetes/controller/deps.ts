import type { Provider } from "../../../providers/contract.ts";
import type { Clock, Log } from "../../platform/index.ts";
import type { ClusterClient } from "../client/index.ts";
import type { Term } from "./leader.ts";
import type { ControllerObserver } from "./notices.ts";

export interface ControllerOptions {
  /** The controller's own, which is also the adaptors' and shim-proxies'. */
  readonly namespace: string;
  readonly clusterId: string;
  readonly runtimeClassName: string;
  readonly shimProxyDaemonSet: string;
  readonly replacesShimProxies: boolean;
  /** Between looks at the cloud's VMs. */
  readonly sweepIntervalMs: number;
  /** How long a living node's adaptor has for the VM of a PeerPod that is being deleted. */
  readonly graceMs: number;
  /** How long a VM of a living node without an adaptor is let alone after its pod is gone. */
  readonly orphanGraceMs: number;
  /** Most VMs that one look deletes. */
  readonly budget: number;
  /** Say what would be done, and do nothing. */
  readonly isDryRun: boolean;
}

/** What the parts of the controller stand on. */
export interface ControllerDeps {
  readonly client: ClusterClient;
  readonly provider: Provider;
  readonly clock: Clock;
  readonly log: Log;
  readonly observe: ControllerObserver;
  readonly options: ControllerOptions;
}

/** For one term of leadership. */
export interface TermDeps extends Omit<ControllerDeps, "client"> {
  readonly client: Pick<ClusterClient, "find" | "list" | "patch" | "delete">;
  readonly term: Term;
}
