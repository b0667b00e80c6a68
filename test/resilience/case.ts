import type { Stage, StageOptions } from "./stage.ts";

/** One promise of docs/design/003-recovery.md, tried with real processes. */
export interface Case {
  /** A sentence of behaviour. */
  readonly name: string;
  /** The case breaks what only namespaces of its own let it break. */
  readonly needsRoot?: boolean;
  /** A node of its own, made this way; without, cases of a group share one, one after the other. */
  readonly stage?: StageOptions;
  /** Rejects when the promise is not kept. What it leaves is checked afterwards: nothing may be left. */
  readonly run: (stage: Stage) => Promise<void>;
}

/** How a case ended, as a line of JSON. */
export interface Outcome {
  readonly name: string;
  readonly failure?: string;
}

/** Throws with `message` unless `condition` holds. */
export function must(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new Error(typeof message === "string" ? message : message());
}

/** What `promise` rejects with. Throws when it does not. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
  throw new Error("a call succeeded that had to be refused");
}

/** The status code of a call's failure. */
export const codeOf = (error: Error): unknown => ("code" in error ? error.code : undefined);
