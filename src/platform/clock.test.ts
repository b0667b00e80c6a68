import { expect, test } from "vitest";
import { systemClock } from "./clock.ts";

test("a timeout takes fractions of milliseconds, which differences of monotonic times are", async () => {
  const signal = systemClock.timeout(0.25);
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  expect(signal.reason).toMatchObject({ name: "TimeoutError" });
});
