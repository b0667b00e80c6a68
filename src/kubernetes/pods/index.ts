export { eventOf } from "./notice-events.ts";
export type { PodVm } from "./peer-pod-plan.ts";
export { PeerPods } from "./peer-pods.ts";
export { type PodEvent, PodEvents } from "./pod-events.ts";
export { pullSecrets } from "./pull-secrets.ts";
