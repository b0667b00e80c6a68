export type { SandboxConfig, TlsMode } from "./config.ts";
export { SandboxManager } from "./manager.ts";
export type {
  PodNetworking,
  Runtime,
  RuntimeSandboxState,
  SandboxDeps,
  SandboxFiles,
  TunnelInput,
} from "./ports.ts";
export { type Findings, reconcile, settleOwedStop } from "./recovery.ts";
export { type PodRequest, parsePodRequest } from "./request.ts";
export { ShimWatch } from "./shim-watch.ts";
export { checkVmsForever } from "./vm-check.ts";
