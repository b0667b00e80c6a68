// The control plane's side. The process itself has its entry of its own, server.ts, so that neither loads the other.
export { type ConnectOptions, ShimProxyClient } from "./client.ts";
export {
  API_VERSIONS,
  type AttachOptions,
  type HeldHypervisorCall,
  type LinkStateName,
  type LinkStatus,
  type LinkTarget,
  type OwedStopNotice,
  type OwedStopReason,
  type ProxyCall,
  type ProxySandbox,
  type ProxySnapshot,
  type ShimConnectionCount,
  type ShimProxyControl,
  type ShimProxyEvent,
  type VmVolume,
} from "./control-types.ts";
export type { ProxyStats } from "./proxy-stats.ts";
