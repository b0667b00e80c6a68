import type { OptionSpec } from "../../providers/contract.ts";
import { invalidConfig } from "../errors/index.ts";
import { isNear } from "./near.ts";

/** What a command line said. */
export interface ParsedFlags {
  /** Every value given for a flag, in order; a flag that was not given is not there. */
  readonly values: ReadonlyMap<string, readonly string[]>;
  /** The words beside the flags, in order. */
  readonly words: readonly string[];
  /** `-h`, `-help` or `--help` was among them. */
  readonly help: boolean;
}

/**
 * Reads flags in Go's syntax, of which the usual double dash is a part: `-flag x`, `--flag=x`, `-bool`, `-bool=false`, `--` ends
 * them. Throws `invalid-config` for an unknown flag (with the nearest known one), a missing value and anything that is not a
 * flag beyond the `maxWords` words that the command takes: there Go stopped reading and silently ignored the rest.
 */
export function parseFlags(
  command: string,
  specs: readonly OptionSpec[],
  args: readonly string[],
  maxWords = 0,
): ParsedFlags {
  const kinds = new Map(specs.map((spec) => [spec.flag, spec.kind]));
  const values = new Map<string, readonly string[]>();
  const words: string[] = [];
  /** The switch before, which a word behind it may be meant for. */
  let lastSwitch = "";
  let help = false;
  const takeWord = (word: string): void => {
    if (words.length >= maxWords) throw unexpectedWord(word, lastSwitch);
    words.push(word);
  };
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? "";
    if (arg === "--") {
      args.slice(index + 1).forEach(takeWord);
      break;
    }
    const [, name, given] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name === undefined) {
      takeWord(arg);
      continue;
    }
    const kind = kinds.get(name);
    if (kind === undefined && (name === "h" || name === "help")) {
      help = true;
      continue;
    }
    if (kind === undefined) throw unknownFlag(command, name, kinds.keys());
    const value = given ?? (kind === "bool" ? "true" : args[++index]);
    if (value === undefined) throw usageError(command, `flag -${name} needs a value: -${name} VALUE`);
    values.set(name, [...(values.get(name) ?? []), value]);
    lastSwitch = kind === "bool" && value === "true" ? name : "";
  }
  return { values, help, words };
}

function unknownFlag(command: string, name: string, known: Iterable<string>): Error {
  const near = [...known].find((flag) => isNear(flag, name.toLowerCase().replaceAll("_", "-")));
  const hint = near === undefined ? "" : `; did you mean -${near}?`;
  return usageError(command, `unknown flag '-${name}'${hint}`);
}

const usageError = (command: string, text: string): Error =>
  invalidConfig(`${text} ('cloud-api-adaptor ${command} --help' lists the flags)`);

function unexpectedWord(word: string, lastSwitch: string): Error {
  const hint =
    lastSwitch === "" ? "flags begin with -" : `a switch takes its value after '=': -${lastSwitch}=${word}`;
  return invalidConfig(`unexpected argument ${JSON.stringify(word)}: ${hint}`);
}
