export { type AdaptorStage, HEALTH_QUESTIONS, Health, type HealthFacts } from "./health.ts";
export { type AdminRoute, json } from "./routes.ts";
export { type AdminServer, serveAdmin } from "./server.ts";
