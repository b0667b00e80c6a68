import { describeError } from "../errors/index.ts";

/** error: pods cannot run so; warning: something will go wrong, or cannot be told; info: nothing to do. */
export type Level = "ok" | "info" | "warning" | "error";

/** One thing that was looked at. */
export interface Finding {
  /** What was looked at, of a fixed list: `kernel vxlan`, `shim configuration`. */
  readonly check: string;
  readonly level: Level;
  /** What was seen. */
  readonly text: string;
  /** What to do; absent when there is nothing to. */
  readonly fix?: string;
}

export const ok = (check: string, text: string): Finding => ({ check, level: "ok", text });
export const info = (check: string, text: string): Finding => ({ check, level: "info", text });
export const warning = (check: string, text: string, fix: string): Finding => ({
  check,
  level: "warning",
  text,
  fix,
});
export const failure = (check: string, text: string, fix: string): Finding => ({
  check,
  level: "error",
  text,
  fix,
});

/** One group of checks. */
export type Check = (signal: AbortSignal) => Promise<readonly Finding[]>;

/** The findings of `look`; what it throws is a warning, since then nothing is known. */
export async function guarded(
  check: string,
  fix: string,
  look: () => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  try {
    return await look();
  } catch (error) {
    return [warning(check, `could not be looked at: ${describeError(error)}`, fix)];
  }
}
