import type { Surroundings } from "./config.ts";
import type { CommandSummary, Positional } from "./help.ts";
import type { OptionGroup } from "./shared-options.ts";

/** A command that runs a process until it ends. */
export interface Command extends CommandSummary {
  readonly groups: readonly OptionGroup[];
  /** What it takes beside flags, in order; absent: nothing. */
  readonly positionals?: readonly Positional[];
  /** Resolves to the exit status. Throws `invalid-config` before anything is started. */
  run(surroundings: Surroundings): Promise<number>;
}

/** A command that is not a provider's adaptor: what help says of it, and how it is loaded. */
export interface Listed {
  readonly summary: string;
  load(summary: CommandSummary): Promise<Command>;
}
