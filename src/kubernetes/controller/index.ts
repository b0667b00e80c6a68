export { Controller } from "./controller.ts";
export type { ControllerDeps, ControllerOptions } from "./deps.ts";
export { type HealthFacts, serveHealth } from "./health-server.ts";
export type { ControllerNotice, ControllerObserver, VmDeleteOutcome, VmDeleteReason } from "./notices.ts";
