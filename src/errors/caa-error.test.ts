import { expect, test } from "vitest";
import { throttled } from "./index.ts";

test("a pause of years, as a clock that is set wrong or a proxy asks for it, is an hour", () => {
  expect(throttled("slow down", { retryAfterMs: 1e12 }).retryAfterMs).toBe(3_600_000);
  expect(throttled("slow down", { retryAfterMs: 90_000 }).retryAfterMs).toBe(90_000);
  expect(throttled("slow down").retryAfterMs).toBeUndefined();
});
