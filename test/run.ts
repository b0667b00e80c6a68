import { parseArgs } from "node:util";
import { buildPrograms, CONTROL_PLANE } from "./cluster/programs.ts";
import { generatedCodeIsCurrent, runVitest, typesCheck } from "./runner/steps.ts";
import { type Outcome, summaryLines } from "./runner/summary.ts";

// What `make test` runs. `--unit` leaves out what `npm run lint` did already and what takes long; other arguments are vitest's
// filters: `node test/run.ts src/cli`. `--root` runs the tests of another folder, for the test of this file.
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { unit: { type: "boolean" }, root: { type: "string" } },
});

const LONG_TESTS = ["test/real/**", "test/cluster/**", "test/system/**"];

async function allOutcomes(): Promise<readonly Outcome[]> {
  if (values.root !== undefined) return await runVitest(values.root, positionals);
  if (positionals.length > 0) return await runVitest(".", positionals);
  if (values.unit)
    return await runVitest(
      ".",
      LONG_TESTS.flatMap((glob) => ["--exclude", glob]),
    );
  // Now, not in vitest, whose limit of time does not reckon with a cold cache. Where they cannot be built, tests are skipped.
  await buildPrograms([...CONTROL_PLANE, "helm"]);
  const checks = [await generatedCodeIsCurrent(), await typesCheck()];
  return [...checks, ...(await runVitest(".", []))];
}

const outcomes = await allOutcomes();
process.stdout.write(`\n${summaryLines(outcomes).join("\n")}\n`);
process.exitCode = outcomes.length > 0 && outcomes.every((outcome) => outcome.result !== "failed") ? 0 : 1;
