import type { Clock, Log } from "../platform/index.ts";
import type { ShimProxyLimits } from "./limits.ts";

export interface ShimProxyConfig {
  /** On a file system that lives as long as the node is up. Made if it is not there. */
  readonly runDir: string;
  /** Where shims call the hypervisor. */
  readonly hypervisorSocket: string;
  /** Default `<runDir>/proxy.sock`. */
  readonly proxySocket?: string;
  /** Default `<runDir>/proxy.lock`. */
  readonly lockFile?: string;
  /** Told to control planes. */
  readonly programVersion?: string;
  readonly limits?: Partial<ShimProxyLimits>;
}

export interface ShimProxyDeps {
  readonly clock: Clock;
  readonly log: Log;
}

/** A running shim-proxy. */
export interface ShimProxy {
  /** Random; another one means that the connections of every shim are gone. */
  readonly instanceId: string;
  /** Serves on until nothing is left that needs it (no sandbox, no unanswered call, no unacknowledged stop), then closes. */
  drain(): Promise<void>;
  /** Ends at once. Shims lose their connections. */
  close(): Promise<void>;
  /** Resolves when it is closed. */
  readonly done: Promise<void>;
}
