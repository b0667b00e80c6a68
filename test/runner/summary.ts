import { relative } from "node:path";
import * as v from "valibot";

/** One thing that `make test` stands for. */
export interface Outcome {
  readonly name: string;
  readonly result: "passed" | "failed" | "skipped";
  /** Why it was skipped, or how it failed. */
  readonly reason: string;
}

/** Of vitest's JSON report, what is used. */
const REPORT = v.object({
  testResults: v.array(
    v.object({
      name: v.string(),
      status: v.string(),
      message: v.optional(v.string(), ""),
      assertionResults: v.array(
        v.object({
          fullName: v.string(),
          status: v.string(),
          failureMessages: v.nullish(v.array(v.string()), []),
        }),
      ),
    }),
  ),
});

/** A skipped test says in its name what it needs: `… (needs root)`. */
const NEEDS = /\((needs [^()]+)\)\s*$/;

/**
 * Reads vitest's JSON report. A file that could not be run counts as a failed test, and so does a skipped test that does not
 * say why. `exitStatus` is vitest's: a failure that no test accounts for is one of its own.
 */
export function outcomesOf(report: string, exitStatus: number, root: string): readonly Outcome[] {
  const { testResults } = v.parse(REPORT, JSON.parse(report));
  const outcomes = testResults.flatMap((file) => {
    const name = relative(root, file.name);
    const tests = file.assertionResults.map((test): Outcome => testOutcome(name, test.fullName, test.status));
    const unaccounted = file.status !== "passed" && !tests.some((test) => test.result === "failed");
    return unaccounted
      ? [...tests, { name, result: "failed" as const, reason: firstLine(file.message) }]
      : tests;
  });
  const accounted = exitStatus === 0 || outcomes.some((outcome) => outcome.result === "failed");
  return accounted
    ? outcomes
    : [...outcomes, { name: "vitest", result: "failed", reason: `ended with status ${exitStatus}` }];
}

function testOutcome(file: string, fullName: string, status: string): Outcome {
  const name = `${file}: ${fullName}`;
  if (status === "passed") return { name, result: "passed", reason: "" };
  if (status === "failed") return { name, result: "failed", reason: "" };
  const reason = NEEDS.exec(fullName)?.[1];
  return reason === undefined
    ? { name, result: "failed", reason: "skipped without a reason; end its name in (needs …)" }
    : { name, result: "skipped", reason };
}

const firstLine = (text: string): string => text.trim().split("\n")[0] ?? "";

/** The end of a run: what was skipped and why, what failed, and one line of counts. */
export function summaryLines(outcomes: readonly Outcome[]): readonly string[] {
  const of = (result: Outcome["result"]) => outcomes.filter((outcome) => outcome.result === result);
  const line = (outcome: Outcome) =>
    `${outcome.result}  ${outcome.name}${outcome.reason === "" ? "" : `: ${outcome.reason}`}`;
  return [
    ...of("skipped").map(
      (outcome) => `skipped  ${outcome.name.replace(NEEDS, "").trimEnd()}: ${outcome.reason}`,
    ),
    ...of("failed").map(line),
    `${of("passed").length} passed, ${of("failed").length} failed, ${of("skipped").length} skipped`,
  ];
}
