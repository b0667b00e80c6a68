export type { SandboxConfig, TlsMode } from "./config.ts";
export { ControlPlane, type ControlPlaneState, type NodeState } from "./control-plane.ts";
export { SandboxManager } from "./manager.ts";
export type { LifecycleNotice, LifecycleStep, PodRef } from "./notices.ts";
export { withPodNames } from "./pod-log.ts";
export { kernelNetworking, noNetworking } from "./pod-networking.ts";
export { type PoolEntry, parsePool } from "./pool-kinds.ts";
export type {
  PodNetworking,
  PullSecrets,
  Runtime,
  RuntimeSandboxState,
  SandboxDeps,
  SandboxFiles,
  TunnelInput,
} from "./ports.ts";
export { ProxySession, type ProxySessionOptions, proxyAnswers } from "./proxy-session.ts";
export { DEFAULT_REAPER, Reaper, type ReaperOptions } from "./reaper.ts";
export { type PodRequest, parseJournaledRequest, parsePodRequest } from "./request.ts";
export { type DirectVolumeEntry, parseJournaledVolumes } from "./volumes.ts";
