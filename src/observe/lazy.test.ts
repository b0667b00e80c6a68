import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const at = (path: string): string => JSON.stringify(join(import.meta.dirname, path));

/** Counts, says whether prom-client is loaded, asks for the metrics, and says it again. */
const PROGRAM = `
  import { createRequire } from "node:module";
  const { AdaptorMetrics } = await import(${at("index.ts")});
  const { silentLog, systemClock } = await import(${at("../platform/index.ts")});
  const cache = createRequire(${at("index.ts")}).cache;
  const isLoaded = () => Object.keys(cache).some((path) => path.includes("prom-client"));
  const metrics = new AdaptorMetrics({ clock: systemClock, log: silentLog, programVersion: "1", provider: "mock" });
  metrics.onCall({ operation: "vms.get", outcome: "ok", durationMs: 5, repeated: false });
  metrics.onJournalWrite({ ok: true, durationMs: 1 });
  const before = isLoaded();
  await metrics.render();
  process.stdout.write(JSON.stringify([before, isLoaded()]));
`;

test("what makes the text is loaded when somebody asks for it, and not before", () => {
  const args = ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval", PROGRAM];
  expect(JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" }))).toEqual([false, true]);
});
