export {
  AdaptorMetrics,
  type AdaptorMetricsDeps,
  type OwnerSources,
  type ProxyState,
} from "./adaptor-metrics.ts";
export { ControllerMetrics, type ControllerMetricsDeps } from "./controller-metrics.ts";
export { METRICS_CONTENT_TYPE, type MetricsAddress, MetricsServer } from "./metrics-server.ts";
export { WebhookMetrics, type WebhookMetricsDeps } from "./webhook-metrics.ts";
