import { Command, CommanderError, Option } from "commander";
import type { OptionSpec } from "../../providers/contract.ts";
import { invalidConfig } from "../errors/index.ts";

/** What a command line said. */
export interface ParsedFlags {
  /** Every value given for a flag, in order; a flag that was not given is not there. */
  readonly values: ReadonlyMap<string, readonly string[]>;
  /** The words beside the flags, in order. */
  readonly words: readonly string[];
  /** `-h`, `-help` or `--help` was among them. */
  readonly help: boolean;
}

interface Normalised {
  readonly argv: readonly string[];
  readonly words: readonly string[];
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
  const { argv, help, words } = normaliseGoFlags(specs, args, maxWords);
  const values = new Map<string, readonly string[]>();
  const parser = new Command(command)
    .exitOverride()
    .configureOutput({ writeOut: () => undefined, writeErr: () => undefined })
    .helpOption(false)
    .allowExcessArguments(false);
  for (const { flag } of specs) {
    const option = new Option(`--${flag} <value>`).argParser((value) => {
      values.set(flag, [...(values.get(flag) ?? []), value]);
      return value;
    });
    parser.addOption(option);
  }
  try {
    parser.parse([...argv], { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) throw usageError(command, error);
    throw error;
  }
  return { values, help, words };
}

function usageError(command: string, error: CommanderError): Error {
  const text = error.message
    .replace(/^error: /, "")
    .replace(/^option '--(\S+) <value>' argument missing$/, "flag -$1 needs a value: -$1 VALUE")
    .replaceAll("unknown option '--", "unknown flag '-")
    .replaceAll(/\n?\(Did you mean (?:one of )?(.*)\?\)/g, "; did you mean $1?")
    .replaceAll(/(?<=[\s'])--(?=[a-z])/g, "-");
  return invalidConfig(`${text} ('cloud-api-adaptor ${command} --help' lists the flags)`);
}

/** The same command line in the one form that needs no knowledge of the flags: `--flag=value`, and the words apart. */
export function normaliseGoFlags(
  specs: readonly OptionSpec[],
  args: readonly string[],
  maxWords = 0,
): Normalised {
  const kinds = new Map(specs.map((spec) => [spec.flag, spec.kind]));
  const argv: string[] = [];
  const words: string[] = [];
  const takeWord = (word: string | undefined): void => {
    if (word !== undefined && words.length < maxWords) words.push(word);
    else refusePositional(word, argv.at(-1), kinds);
  };
  let help = false;
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? "";
    if (arg === "--") {
      const rest = args.slice(index + 1);
      rest.forEach(takeWord);
      break;
    }
    const [, name, value] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name === undefined) {
      takeWord(arg);
      continue;
    }
    const kind = kinds.get(name);
    if (kind === undefined && (name === "h" || name === "help")) help = true;
    else if (kind === undefined)
      return { argv: [...argv, `--${name}`], help, words }; // the library names it and its neighbour
    else if (value !== undefined) argv.push(`--${name}=${value}`);
    else if (kind === "bool") argv.push(`--${name}=true`);
    else if (index + 1 < args.length) argv.push(`--${name}=${args[++index]}`);
    else argv.push(`--${name}`);
  }
  return { argv, help, words };
}

function refusePositional(
  arg: string | undefined,
  before: string | undefined,
  kinds: ReadonlyMap<string, OptionSpec["kind"]>,
): void {
  if (arg === undefined) return;
  const flag = /^--([^=]+)=true$/.exec(before ?? "")?.[1] ?? "";
  const hint =
    kinds.get(flag) === "bool" ? `a switch takes its value after '=': -${flag}=${arg}` : "flags begin with -";
  throw invalidConfig(`unexpected argument ${JSON.stringify(arg)}: ${hint}`);
}
