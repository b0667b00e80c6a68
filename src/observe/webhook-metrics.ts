import { describeError } from "../errors/index.ts";
import type { WebhookNotice } from "../kubernetes/webhook/index.ts";
import type { Clock, Log } from "../platform/index.ts";
import { ADAPTOR } from "./adaptor-specs.ts";
import { MetricSet, type Report } from "./metric-set.ts";
import { type MetricsAddress, MetricsServer } from "./metrics-server.ts";
import { WEBHOOK, WEBHOOK_SPECS } from "./webhook-specs.ts";

export interface WebhookMetricsDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly programVersion: string;
  readonly provider: string;
}

/** The metrics of one webhook. `onNotice` never throws. */
export class WebhookMetrics {
  readonly #deps: WebhookMetricsDeps;
  readonly #set: MetricSet;
  #certificateEndMs: number | undefined;

  constructor(deps: WebhookMetricsDeps) {
    this.#deps = deps;
    this.#set = new MetricSet(WEBHOOK_SPECS, [(report) => this.#report(report)], (error) =>
      deps.log.debug("a part of the metrics is missing", { error: describeError(error) }),
    );
  }

  /** The text that Prometheus reads. */
  render(): Promise<string> {
    return this.#set.render();
  }

  /** Answers GET /metrics there until the returned function is called. */
  serve(address: MetricsAddress): () => Promise<void> {
    const { clock, log } = this.#deps;
    const server = MetricsServer.start({ clock, log, render: () => this.render() }, address);
    return () => server.close();
  }

  readonly onNotice = (notice: WebhookNotice): void => {
    if (notice.kind === "certificate") {
      this.#certificateEndMs = notice.notAfterMs;
      return;
    }
    this.#set.add(WEBHOOK.reviews, { outcome: notice.outcome });
    this.#set.observe(WEBHOOK.reviewDuration, {}, notice.durationMs / 1000);
  };

  #report(report: Report): void {
    const { programVersion: version, provider } = this.#deps;
    report.set(ADAPTOR.buildInfo, { component: "webhook", version, node: process.version, provider }, 1);
    if (this.#certificateEndMs !== undefined) {
      report.set(WEBHOOK.certificateEnd, {}, Math.round(this.#certificateEndMs / 1000));
    }
  }
}
