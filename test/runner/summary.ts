import { relative } from "node:path";
import * as v from "valibot";

/** One thing that `make test` stands for. */
export interface Outcome {
  readonly name: string;
  readonly result: "passed" | "failed" | "skipped";
  /** Why it was skipped, or how it failed. */
  readonly reason: string;
}

/** What test/runner/reporter.ts writes. */
export interface Report {
  readonly files: readonly {
    readonly file: string;
    readonly passed: boolean;
    readonly errors: readonly string[];
    readonly tests: readonly { readonly name: string; readonly state: string; readonly note: string }[];
  }[];
  /** Errors that no test accounts for. */
  readonly unhandled: readonly string[];
}

const REPORT: v.GenericSchema<unknown, Report> = v.object({
  files: v.array(
    v.object({
      file: v.string(),
      passed: v.boolean(),
      errors: v.array(v.string()),
      tests: v.array(v.object({ name: v.string(), state: v.string(), note: v.string() })),
    }),
  ),
  unhandled: v.array(v.string()),
});

/** A skipped test says what it needs in its name, or in that of a group around it: `… (needs root)`; or it was skipped with a note. */
const NEEDS = /\((needs [^()]+)\)/;

/**
 * Reads the report of a run. A file that could not be run counts as a failed test, and so does a skipped test that does not say
 * why. `exitStatus` is vitest's: a failure that nothing else accounts for is one of its own.
 */
export function outcomesOf(text: string, exitStatus: number, root: string): readonly Outcome[] {
  const report = v.parse(REPORT, JSON.parse(text));
  const fromFiles = report.files.flatMap(({ file, passed, errors, tests }) => {
    const name = relative(root, file);
    const outcomes = tests.map((test) => testOutcome(name, test));
    const unaccounted = !passed && !outcomes.some((outcome) => outcome.result === "failed");
    return unaccounted ? [...outcomes, failure(name, errors[0] ?? "could not be run")] : outcomes;
  });
  const outcomes = [
    ...fromFiles,
    ...report.unhandled.map((message) => failure("outside of any test", message)),
  ];
  const accounted = exitStatus === 0 || outcomes.some((outcome) => outcome.result === "failed");
  return accounted ? outcomes : [...outcomes, failure("vitest", `ended with status ${exitStatus}`)];
}

const failure = (name: string, reason: string): Outcome => ({
  name,
  result: "failed",
  reason: reason.trim().split("\n")[0] ?? "",
});

function testOutcome(file: string, test: Report["files"][number]["tests"][number]): Outcome {
  const name = `${file}: ${test.name}`;
  if (test.state === "passed") return { name, result: "passed", reason: "" };
  if (test.state === "failed") return { name, result: "failed", reason: "" };
  const reason = NEEDS.exec(test.name)?.[1] ?? test.note;
  return reason === ""
    ? failure(name, "skipped without a reason: end its name in (needs …), or skip it with a note")
    : { name: name.replace(NEEDS, "").trimEnd(), result: "skipped", reason };
}

/** The end of a run: what was skipped and why, what failed, and one line of counts. */
export function summaryLines(outcomes: readonly Outcome[]): readonly string[] {
  const of = (result: Outcome["result"]) => outcomes.filter((outcome) => outcome.result === result);
  const line = (outcome: Outcome) =>
    `${outcome.result}  ${outcome.name}${outcome.reason === "" ? "" : `: ${outcome.reason}`}`;
  return [
    ...of("skipped").map(line),
    ...of("failed").map(line),
    `${of("passed").length} passed, ${of("failed").length} failed, ${of("skipped").length} skipped`,
  ];
}
