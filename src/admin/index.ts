export { type AdaptorStage, HEALTH_QUESTIONS, Health, type HealthFacts } from "./health.ts";
export { History } from "./history.ts";
export { type Found, findSandbox, inspectSandbox } from "./inspect.ts";
export { isoTime, type OwnedNode, reportPod } from "./pod-report.ts";
export { type AdminCall, type AdminRoute, json } from "./routes.ts";
export { type AdminServer, serveAdmin } from "./server.ts";
export type { ClusterStatus, ConfigurationStatus, Inspection, KeyNote, PodStatus, Status } from "./status.ts";
