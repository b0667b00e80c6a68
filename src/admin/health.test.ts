import { expect, test } from "vitest";
import { Health, type HealthFacts } from "./health.ts";

const facts = (more: Partial<HealthFacts>): HealthFacts => ({
  stage: "serving",
  detail: "",
  obstacles: [],
  fatal: [],
  ...more,
});

function asked(now: HealthFacts): readonly boolean[] {
  const health = new Health(() => now);
  return [health.answer("startup").ok, health.answer("ready").ok, health.answer("live").ok];
}

test.each([
  ["starting", false],
  ["standby", true],
  ["attaching", false],
  ["recovering", false],
  ["serving", true],
  ["ending", false],
] as const)("%s: started and ready: %s; alive in any case", (stage, ready) => {
  expect(asked(facts({ stage }))).toEqual([ready, ready, true]);
});

test("what was started stays started while it is not ready", () => {
  let now = facts({});
  const health = new Health(() => now);
  expect(health.answer("startup").ok).toBe(true);
  now = facts({ stage: "attaching", detail: "nobody listens" });
  expect(health.answer("startup").ok).toBe(true);
  expect(health.answer("ready")).toEqual({
    ok: false,
    stage: "attaching",
    reasons: ["waiting for the shim-proxy: nobody listens"],
  });
});

test("an obstacle that a person can mend makes it unready and not dead", () => {
  const now = facts({ obstacles: ["the journal's disk is full"] });
  expect(asked(now)).toEqual([false, false, true]);
  expect(new Health(() => now).answer("ready").reasons).toEqual(["serving", "the journal's disk is full"]);
});

test("what only a restart cures makes it dead, with the reason", () => {
  const now = facts({ fatal: ["the VM check has ended"] });
  expect(asked(now)).toEqual([false, false, false]);
  expect(new Health(() => now).answer("live").reasons).toEqual(["the VM check has ended"]);
});
