import { describeError } from "../errors/index.ts";

/** As when Node ends by an error that nobody caught. */
const CRASHED = 1;

/**
 * Ends the process by an error that nobody caught, with its stack and nothing else of it: Node would print every property,
 * and failed requests of the clouds' libraries have the headers in them, with the token.
 */
export function endAtCrash(error: unknown): void {
  const text = error instanceof Error ? (error.stack ?? describeError(error)) : describeError(error);
  process.stderr.write(`cloud-api-adaptor: crashed by an error of ours: ${text}\n`, () =>
    process.exit(CRASHED),
  );
}
