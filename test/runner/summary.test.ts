import { expect, test } from "vitest";
import { outcomesOf, summaryLines } from "./summary.ts";

const file = (name: string, passed: boolean, tests: Record<string, string>, ...errors: string[]) => ({
  file: `/repo/${name}`,
  passed,
  errors,
  tests: Object.entries(tests).map(([test, state]) => {
    const [word = "", note = ""] = state.split(":");
    return { name: test, state: word, note };
  }),
});

const summary = (exitStatus: number, files: unknown[], unhandled: string[] = []) =>
  summaryLines(outcomesOf(JSON.stringify({ files, unhandled }), exitStatus, "/repo"));

test("the last line counts what passed, failed and was skipped; skipped tests are listed with their reason", () => {
  const tests = {
    "adds up": "passed",
    breaks: "failed",
    "makes a device (needs root)": "skipped",
    "tags late": "skipped:this cloud has no tags",
  };
  expect(summary(1, [file("a.test.ts", false, tests)])).toEqual([
    "skipped  a.test.ts: makes a device: needs root",
    "skipped  a.test.ts: tags late: this cloud has no tags",
    "failed  a.test.ts: breaks",
    "1 passed, 1 failed, 2 skipped",
  ]);
});

test("a file that cannot be run is a failure", () => {
  expect(summary(1, [file("a.test.ts", false, {}, "SyntaxError: no\n at x")])).toEqual([
    "failed  a.test.ts: SyntaxError: no",
    "0 passed, 1 failed, 0 skipped",
  ]);
});

test("an error outside of any test is a failure", () => {
  expect(summary(1, [file("a.test.ts", true, { works: "passed" })], ["boom"])).toEqual([
    "failed  outside of any test: boom",
    "1 passed, 1 failed, 0 skipped",
  ]);
});

test("a failure of vitest that nothing else accounts for is counted", () => {
  expect(summary(1, [file("a.test.ts", true, { works: "passed" })])).toEqual([
    "failed  vitest: ended with status 1",
    "1 passed, 1 failed, 0 skipped",
  ]);
});

test("a test that is skipped without saying why is a failure", () => {
  expect(summary(0, [file("a.test.ts", true, { "is left out": "skipped" })]).at(-1)).toBe(
    "0 passed, 1 failed, 0 skipped",
  );
});
