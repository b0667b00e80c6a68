import { writeFileSync } from "node:fs";
import type { Reporter, SerializedError, TestModule } from "vitest/node";
import type { Report } from "./summary.ts";

/**
 * Writes what became of each test to the file that PEERPODS_TEST_REPORT names, at the end of a run. vitest's own JSON reporter
 * leaves out why a test was skipped.
 */
// biome-ignore lint/style/noDefaultExport: vitest loads a reporter by its default export
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const file = process.env["PEERPODS_TEST_REPORT"];
    if (file === undefined) return;
    const report: Report = {
      files: modules.map((module) => ({
        file: module.moduleId,
        passed: module.ok(),
        errors: module.errors().map((error) => error.message),
        tests: [...module.children.allTests()].map((test) => {
          const result = test.result();
          return {
            name: test.fullName,
            state: result.state,
            note: result.state === "skipped" ? (result.note ?? "") : "",
          };
        }),
      })),
      unhandled: unhandled.map((error) => error.message),
    };
    writeFileSync(file, JSON.stringify(report));
  }
}
