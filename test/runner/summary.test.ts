import { expect, test } from "vitest";
import { outcomesOf, summaryLines } from "./summary.ts";

const file = (name: string, status: string, tests: Record<string, string>, message = "") => ({
  name: `/repo/${name}`,
  status,
  message,
  assertionResults: Object.entries(tests).map(([fullName, result]) => ({ fullName, status: result })),
});

const summary = (exitStatus: number, ...testResults: unknown[]) =>
  summaryLines(outcomesOf(JSON.stringify({ testResults }), exitStatus, "/repo"));

test("the last line counts what passed, failed and was skipped; skipped tests are listed with their reason", () => {
  expect(
    summary(
      1,
      file("a.test.ts", "failed", {
        "adds up": "passed",
        breaks: "failed",
        "makes a device (needs root)": "skipped",
      }),
    ),
  ).toEqual([
    "skipped  a.test.ts: makes a device: needs root",
    "failed  a.test.ts: breaks",
    "1 passed, 1 failed, 1 skipped",
  ]);
});

test("a file that cannot be run is a failure", () => {
  expect(summary(1, file("a.test.ts", "failed", {}, "SyntaxError: no\n at x"))).toEqual([
    "failed  a.test.ts: SyntaxError: no",
    "0 passed, 1 failed, 0 skipped",
  ]);
});

test("a failure of vitest that no test accounts for is counted", () => {
  expect(summary(1, file("a.test.ts", "passed", { works: "passed" }))).toEqual([
    "failed  vitest: ended with status 1",
    "1 passed, 1 failed, 0 skipped",
  ]);
});

test("a test that is skipped without saying why is a failure", () => {
  expect(summary(0, file("a.test.ts", "passed", { "is left out": "todo" })).at(-1)).toBe(
    "0 passed, 1 failed, 0 skipped",
  );
});
