// Loaded when metrics are asked for; nothing else imports prom-client.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Exposition, Series } from "./exposition.ts";
import { BUCKETS, type MetricSpec } from "./specs.ts";

/** How exactly the event loop's delay is measured, milliseconds: it costs that many wake-ups a second. */
const EVENT_LOOP_PRECISION_MS = 50;

/** A registry of these metrics and of the process's own, which reads the values of counters and gauges at each scrape. */
export function promRegistry(
  specs: readonly MetricSpec[],
  valuesOf: (name: string) => readonly Series[],
): Exposition {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: EVENT_LOOP_PRECISION_MS });
  const histograms = new Map<string, Histogram>();
  for (const spec of specs) {
    const shape = { name: spec.name, help: spec.help, labelNames: [...spec.labels], registers: [registry] };
    if (spec.kind === "histogram") {
      histograms.set(spec.name, new Histogram({ ...shape, buckets: [...BUCKETS[spec.buckets ?? "steps"]] }));
    } else if (spec.kind === "counter") {
      const metric = new Counter({
        ...shape,
        collect: () => {
          metric.reset();
          // Without labels it would show 0, where absent is meant.
          if (spec.labels.length === 0) metric.remove();
          for (const { labels, value } of valuesOf(spec.name)) metric.inc({ ...labels }, value);
        },
      });
    } else {
      const metric = new Gauge({
        ...shape,
        collect: () => {
          metric.reset();
          if (spec.labels.length === 0) metric.remove();
          for (const { labels, value } of valuesOf(spec.name)) metric.set({ ...labels }, value);
        },
      });
    }
  }
  return {
    observe: (name, labels, value) => histograms.get(name)?.observe({ ...labels }, value),
    text: () => registry.metrics(),
  };
}
