import { describeError } from "../errors/index.ts";
import { type Check, type Finding, warning } from "./finding.ts";

/**
 * Runs all checks, one after another so that they do not get in each other's way, and gives their findings in that order. One that fails
 * keeps no other from being made.
 */
export async function examine(checks: readonly Check[], signal: AbortSignal): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const check of checks) {
    signal.throwIfAborted();
    try {
      findings.push(...(await check(signal)));
    } catch (error) {
      signal.throwIfAborted();
      findings.push(
        warning("doctor", `a check could not be made: ${describeError(error)}`, "tell us, with this line"),
      );
    }
  }
  return findings;
}
