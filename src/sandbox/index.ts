export type { SandboxConfig, TlsMode } from "./config.ts";
export { ControlPlane, type NodeState } from "./control-plane.ts";
export { SandboxManager } from "./manager.ts";
export type {
  PodNetworking,
  Runtime,
  RuntimeSandboxState,
  SandboxDeps,
  SandboxFiles,
  TunnelInput,
} from "./ports.ts";
export { ProxySession, type ProxySessionOptions } from "./proxy-session.ts";
export { type PodRequest, parsePodRequest } from "./request.ts";
