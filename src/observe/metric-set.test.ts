import { expect, test } from "vitest";
import { MetricSet } from "./metric-set.ts";

const CALLS = {
  kind: "counter",
  name: "t_calls_total",
  help: "h",
  labels: ["outcome"],
  each: ["ok"],
} as const;
const PLAIN = { kind: "counter", name: "t_plain_total", help: "h", labels: [], zero: true } as const;
const ELSEWHERE = { kind: "counter", name: "t_elsewhere_total", help: "h", labels: [] } as const;
const LEVEL = { kind: "gauge", name: "t_level", help: "h", labels: ["state"] } as const;
const ONE = { kind: "gauge", name: "t_one", help: "h", labels: [] } as const;
const TIME = { kind: "histogram", name: "t_seconds", help: "h", labels: ["step"], buckets: "calls" } as const;
const SPECS = [CALLS, PLAIN, ELSEWHERE, LEVEL, ONE, TIME];

/** The samples of our own metrics, one a line. */
const samples = (text: string): string[] => text.split("\n").filter((line) => line.startsWith("t_"));

test("a counter that may be counted is there from the start; what no source tells is absent", async () => {
  const set = new MetricSet(SPECS, [], () => undefined);
  expect(samples(await set.render())).toEqual(['t_calls_total{outcome="ok"} 0', "t_plain_total 0"]);
});

test("what was counted before the first scrape is in it, and what comes after in the next", async () => {
  const set = new MetricSet(SPECS, [], () => undefined);
  set.add(CALLS, { outcome: "failed" }, 2);
  set.observe(TIME, { step: "a" }, 0.2);
  const first = samples(await set.render());
  expect(first).toContain('t_calls_total{outcome="failed"} 2');
  expect(first).toContain('t_seconds_bucket{le="0.25",step="a"} 1');
  set.add(CALLS, { outcome: "failed" });
  set.observe(TIME, { step: "a" }, 20);
  const second = samples(await set.render());
  expect(second).toContain('t_calls_total{outcome="failed"} 3');
  expect(second).toContain('t_seconds_count{step="a"} 2');
  expect(second).toContain('t_seconds_sum{step="a"} 20.2');
});

test("sources are asked at each scrape, and a series that they tell no more is gone", async () => {
  let states = ["up", "down"];
  const set = new MetricSet(
    SPECS,
    [
      (report) => {
        for (const state of states) report.set(LEVEL, { state }, 7);
        report.set(ELSEWHERE, {}, 41);
      },
    ],
    () => undefined,
  );
  expect(samples(await set.render())).toContain('t_level{state="down"} 7');
  states = ["up"];
  const text = samples(await set.render());
  expect(text.filter((line) => line.startsWith("t_level"))).toEqual(['t_level{state="up"} 7']);
  expect(text).toContain("t_elsewhere_total 41");
});

test("a source that fails costs its own metrics only, and is told", async () => {
  const failures: unknown[] = [];
  const broken = (): void => {
    throw new Error("no journal");
  };
  const set = new MetricSet(SPECS, [broken, (report) => report.set(ONE, {}, 1)], (error) => {
    failures.push(error);
  });
  expect(samples(await set.render())).toContain("t_one 1");
  expect(failures).toHaveLength(1);
});

test("of the observations before the first scrape the newest are kept, and no more than a few hundred of a series", async () => {
  const set = new MetricSet(SPECS, [], () => undefined);
  for (let n = 0; n < 5000; n++) set.observe(TIME, { step: "a" }, n < 4000 ? 20 : 0.001);
  const text = samples(await set.render());
  const count = Number(/t_seconds_count\{step="a"\} (\d+)/.exec(text.join("\n"))?.[1]);
  expect(count).toBeGreaterThan(0);
  expect(count).toBeLessThan(1000);
  expect(text).toContain(`t_seconds_bucket{le="0.01",step="a"} ${count}`);
});
