export { SHARED_DIR } from "./copy-file.ts";
export { normaliseImageName } from "./images.ts";
export { PlainRuntime } from "./plain.ts";
export { RuncRuntime } from "./runc.ts";
export type { ContainerRuntime } from "./runtime.ts";
export { type Agent, type AgentDeps, createAgent } from "./service.ts";
