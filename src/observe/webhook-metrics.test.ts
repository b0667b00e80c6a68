import { expect, test } from "vitest";
import { silentLog, systemClock } from "../platform/index.ts";
import { WebhookMetrics } from "./webhook-metrics.ts";

test("a webhook tells what became of pods, and until when its certificate is good", async () => {
  const deps = { clock: systemClock, log: silentLog, programVersion: "1.2.3", provider: "azure" };
  const metrics = new WebhookMetrics(deps);
  expect(await metrics.render()).not.toMatch(/^peerpods_webhook_certificate_not_after_seconds /m);
  metrics.onNotice({ kind: "certificate", notAfterMs: 1_800_000_000_400 });
  metrics.onNotice({ kind: "review", outcome: "changed", durationMs: 3 });
  metrics.onNotice({ kind: "review", outcome: "refused", durationMs: 30 });
  const lines = (await metrics.render()).split("\n");
  for (const line of [
    'peerpods_build_info{component="webhook",version="1.2.3",node="' +
      process.version +
      '",provider="azure"} 1',
    'peerpods_webhook_reviews_total{outcome="changed"} 1',
    'peerpods_webhook_reviews_total{outcome="refused"} 1',
    'peerpods_webhook_reviews_total{outcome="failed"} 0',
    'peerpods_webhook_review_duration_seconds_bucket{le="0.01"} 1',
    "peerpods_webhook_certificate_not_after_seconds 1800000000",
  ])
    expect(lines).toContain(line);
});
