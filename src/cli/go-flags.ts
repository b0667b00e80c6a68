import { parseArgs } from "node:util";
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
  const { tokens } = parseArgs({
    args: withDoubleDashes(kinds, args),
    options: Object.fromEntries([...kinds.keys()].map((flag) => [flag, { type: "string", multiple: true }])),
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const values = new Map<string, readonly string[]>();
  const words: string[] = [];
  /** The switch before, which a word behind it may be meant for. */
  let lastSwitch = "";
  let help = false;
  for (const token of tokens) {
    if (token.kind === "option-terminator") continue;
    if (token.kind === "positional") {
      if (words.length >= maxWords) throw unexpectedWord(token.value, lastSwitch);
      words.push(token.value);
      continue;
    }
    const { name, value } = token;
    const kind = kinds.get(name);
    if (kind === undefined && HELP_FLAGS.includes(name)) help = true;
    else if (kind === undefined) throw unknownFlag(command, name, kinds.keys());
    else if (value === undefined) throw usageError(command, `flag -${name} needs a value: -${name} VALUE`);
    else values.set(name, [...(values.get(name) ?? []), value]);
    lastSwitch = kind === "bool" && value === "true" ? name : "";
  }
  return { values, help, words };
}

const HELP_FLAGS: readonly string[] = ["h", "help"];

/**
 * The same command line in the one form that Node's parser reads without a doubt: `--flag=value`. Go takes whatever follows a flag for its
 * value, and a switch never takes the next word.
 */
function withDoubleDashes(kinds: ReadonlyMap<string, OptionSpec["kind"]>, args: readonly string[]): string[] {
  const plain: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? "";
    if (arg === "--") return [...plain, ...args.slice(index)];
    const [, name, given] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name === undefined) {
      if (/^-./.test(arg)) throw unexpectedWord(arg, "");
      plain.push(arg);
      continue;
    }
    const kind = kinds.get(name);
    if (kind === undefined) {
      plain.push(`--${name}`); // Only its name counts: it is refused, or asks for help.
      continue;
    }
    const value = given ?? (kind === "bool" ? "true" : args[++index]);
    plain.push(value === undefined ? `--${name}` : `--${name}=${value}`);
  }
  return plain;
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
