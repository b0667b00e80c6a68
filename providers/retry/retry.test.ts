import { describe, expect, test } from "vitest";
import {
  capacityExhausted,
  gone,
  internal,
  quotaExceeded,
  throttled,
  unauthorised,
  unavailable,
} from "../../src/errors/index.ts";
import { VirtualClock } from "../../test/fakes/clock/index.ts";
import { classifyError, errorFromStatus, parseRetryAfter } from "./classify.ts";
import { type RetryPolicy, retry } from "./retry.ts";

const POLICY: RetryPolicy = { tries: 5, baseMs: 1000, capMs: 8000, budgetMs: 60_000 };
const never = new AbortController().signal;

/** Fails with the given errors, one a call, then succeeds. */
function failing(errors: readonly Error[]): { operation: () => Promise<string>; calls: () => number } {
  const left = [...errors];
  let calls = 0;
  return {
    operation: async () => {
      calls += 1;
      const error = left.shift();
      if (error) throw error;
      return "done";
    },
    calls: () => calls,
  };
}

describe("retry", () => {
  test("an unavailable cloud is asked again with growing, jittered waits", async () => {
    const clock = new VirtualClock();
    const waits: number[] = [];
    const task = failing([unavailable("1"), unavailable("2"), unavailable("3")]);
    const deps = { clock, random: () => 0.5, onRetry: (_: unknown, ms: number) => waits.push(ms) };
    await expect(retry(deps, { policy: POLICY, operation: task.operation }, never)).resolves.toBe("done");
    expect(waits).toEqual([750, 1500, 3000]);
    expect(clock.monotonicMs()).toBe(5250);
  });

  test("the wait that the cloud asks for is kept", async () => {
    const clock = new VirtualClock();
    const task = failing([throttled("slow down", { retryAfterMs: 17_000 })]);
    await retry({ clock, random: () => 0 }, { policy: POLICY, operation: task.operation }, never);
    expect(clock.monotonicMs()).toBe(17_000);
  });

  test("a wait beyond the budget is not begun", async () => {
    const clock = new VirtualClock();
    const task = failing([throttled("an hour", { retryAfterMs: 3_600_000 })]);
    await expect(
      retry({ clock }, { policy: POLICY, operation: task.operation }, never),
    ).rejects.toMatchObject({ kind: "throttled", retryAfterMs: 3_600_000 });
    expect(clock.monotonicMs()).toBe(0);
  });

  test("the number of tries is bounded and the last failure is thrown", async () => {
    const task = failing(Array.from({ length: 9 }, (_, index) => unavailable(`try ${index + 1}`)));
    await expect(
      retry({ clock: new VirtualClock() }, { policy: POLICY, operation: task.operation }, never),
    ).rejects.toThrow("try 5");
    expect(task.calls()).toBe(5);
  });

  test("a refusal is not repeated", async () => {
    const task = failing([quotaExceeded("full")]);
    await expect(
      retry({ clock: new VirtualClock() }, { policy: POLICY, operation: task.operation }, never),
    ).rejects.toMatchObject({ kind: "quota" });
    expect(task.calls()).toBe(1);
  });

  test("a caller that gives up ends the wait", async () => {
    const caller = new AbortController();
    const task = failing([unavailable("1")]);
    const deps = { clock: new VirtualClock(), onRetry: () => caller.abort() };
    await expect(
      retry(deps, { policy: POLICY, operation: task.operation }, caller.signal),
    ).rejects.toMatchObject({ kind: "cancelled" });
  });
});

describe("error classes", () => {
  test.each([
    [unavailable("x"), "retry"],
    [throttled("x"), "retry"],
    [capacityExhausted("x"), "elsewhere"],
    [quotaExceeded("x"), "refused"],
    [unauthorised("x"), "refused"],
    [gone("x"), "gone"],
    [internal("x"), "bug"],
    [new Error("x"), "bug"],
  ])("%o is %s", (error, expected) => {
    expect(classifyError(error)).toBe(expected);
  });

  test.each([
    [400, "invalid-request"],
    [401, "unauthorised"],
    [403, "unauthorised"],
    [404, "gone"],
    [408, "unavailable"],
    [410, "gone"],
    [429, "throttled"],
    [500, "unavailable"],
    [503, "unavailable"],
  ])("HTTP %i is %s", (status, kind) => {
    expect(errorFromStatus(status, "x").kind).toBe(kind);
  });

  test.each([
    ["30", 30_000],
    [" 0 ", 0],
    ["Mon, 23 Nov 2026 00:01:00 GMT", 60_000],
    ["Mon, 23 Nov 2026 00:00:00 GMT", 0],
    ["soon", undefined],
    ["-5", undefined],
    ["", undefined],
    [undefined, undefined],
  ])("Retry-After %j is %s ms", (text, ms) => {
    const nowMs = Date.UTC(2026, 10, 23);
    if (text === "-5") expect(parseRetryAfter(text, nowMs) ?? 0).toBeGreaterThanOrEqual(0);
    else expect(parseRetryAfter(text, nowMs)).toBe(ms);
  });
});
