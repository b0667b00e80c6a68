import { ADAPTOR } from "./adaptor-specs.ts";
import type { MetricSpec } from "./specs.ts";

/** What the admission webhook tells of itself, beside what every process tells, in the order of docs/metrics.md. */
export const WEBHOOK = {
  reviews: {
    kind: "counter",
    name: "peerpods_webhook_reviews_total",
    help: "Admission reviews: pods that were `changed`, left `untouched` or `refused`; `failed`: no answer, by a fault of ours.",
    labels: ["outcome"],
    each: ["changed", "untouched", "refused", "failed"],
  },
  reviewDuration: {
    kind: "histogram",
    name: "peerpods_webhook_review_duration_seconds",
    help: "How long an answer took, from the request's head on; the API server waits for 5 s.",
    labels: [],
    buckets: "calls",
  },
  certificateEnd: {
    kind: "gauge",
    name: "peerpods_webhook_certificate_not_after_seconds",
    help: "When the certificate ends that is served, in seconds since 1970; absent while there is none.",
    labels: [],
  },
} as const;

export const WEBHOOK_SPECS: readonly MetricSpec[] = [ADAPTOR.buildInfo, ...Object.values(WEBHOOK)];
