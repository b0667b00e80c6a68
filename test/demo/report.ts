import { TtrpcError } from "../../src/ttrpc/index.ts";

/** Prints the demo line by line and remembers whether all of it was true. */
export class Report {
  readonly #started = performance.now();
  failed = false;

  title(text: string): void {
    console.log(`\n${text}`);
  }

  note(text: string): void {
    console.log(`      ${text}`);
  }

  /** Runs one claim; prints what was seen. Throws `Stop` when it does not hold: the rest would mean nothing. */
  async claim<T>(
    what: string,
    check: () => Promise<{ readonly seen: string; readonly value: T }>,
  ): Promise<T> {
    try {
      const { seen, value } = await check();
      console.log(`  ok  ${what}: ${seen}`);
      return value;
    } catch (error) {
      this.failed = true;
      const text = error instanceof TtrpcError ? `${error.message} (status ${error.code})` : String(error);
      console.log(`  NO  ${what}: ${text}`);
      throw new Stop(what, { cause: error });
    }
  }

  end(): void {
    const seconds = ((performance.now() - this.#started) / 1000).toFixed(1);
    console.log(
      this.failed ? `\nThe demo failed (after ${seconds} s).` : `\nAll of it was true (${seconds} s).`,
    );
  }
}

/** The demo ends here; what was claimed has been printed. */
export class Stop extends Error {}

/** Throws with `text` unless `condition`. */
export function must(condition: boolean, text: string): void {
  if (!condition) throw new Error(text);
}
