import { hostname } from "node:os";
import { CaaError, describeError, invalidConfig } from "../errors/index.ts";
import { commandName, commandSummaries, loadCommand } from "./commands.ts";
import { flatten } from "./config.ts";
import { parseFlags } from "./go-flags.ts";
import { commandHelp, overviewHelp } from "./help.ts";
import { ownNamespace } from "./own-namespace.ts";
import { programVersion } from "./version.ts";

/** Exit statuses: what `main` promises to scripts and to Kubernetes. */
const Exit = { Ok: 0, Failed: 1, Usage: 2 } as const;

const HELP_WORDS: readonly string[] = ["help", "-h", "-help", "--help"];
const VERSION_WORDS: readonly string[] = ["version", "-version", "--version"];

/** What a run of the program sees and says. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  out(text: string): void;
  err(text: string): void;
}

/** Runs one command line to its end and gives the exit status: 0 done, 1 failed, 2 the command line or a setting is wrong. */
export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    return await dispatch(args, terminal);
  } catch (error) {
    if (error instanceof CaaError) {
      // A list of settings keeps its lines; a cause was already told where it matters.
      terminal.err(
        `cloud-api-adaptor: ${error.kind === "invalid-config" ? error.message : describeError(error)}\n`,
      );
      return error.kind === "invalid-config" ? Exit.Usage : Exit.Failed;
    }
    terminal.err(
      `cloud-api-adaptor: unexpected: ${error instanceof Error ? error.stack : describeError(error)}\n`,
    );
    return Exit.Failed;
  }
}

async function dispatch(args: readonly string[], terminal: Terminal): Promise<number> {
  const [first = ""] = args;
  if (VERSION_WORDS.includes(first)) {
    terminal.out(`cloud-api-adaptor ${await programVersion()} (Node ${process.version})\n`);
    return Exit.Ok;
  }
  if (HELP_WORDS.includes(first)) return await help(args.slice(1).join(" "), terminal);
  // As the Go image's entrypoint: the argument, else CLOUD_PROVIDER.
  const named = first !== "" && !first.startsWith("-");
  const cloudProvider = terminal.env["CLOUD_PROVIDER"] ?? "";
  const words = named ? commandName(args, cloudProvider) : [cloudProvider];
  const name = words.join(" ");
  if (name === "") {
    terminal.err(overviewHelp(listed()));
    return Exit.Usage;
  }
  const command = await loadCommand(name);
  const { positionals = [] } = command;
  const specs = flatten(command.groups);
  const flags = parseFlags(name, specs, argumentsAfter(args, words), positionals.length);
  if (flags.help) {
    terminal.out(commandHelp(command, command.groups));
    return Exit.Ok;
  }
  const missing = positionals[flags.words.length];
  if (missing?.required) throw invalidConfig(`${name}: ${missing.name} is missing: ${missing.help}`);
  return await command.run({
    flags: flags.values,
    env: terminal.env,
    hostname: hostname(),
    serviceAccountNamespace: ownNamespace(),
    words: flags.words,
  });
}

/** What follows the command's own words; a word that came from the environment is not among the arguments. */
function argumentsAfter(args: readonly string[], words: readonly string[]): readonly string[] {
  const given = words.filter((word, n) => args[n] === word).length;
  return args.slice(given);
}

async function help(about: string, terminal: Terminal): Promise<number> {
  if (about === "") {
    terminal.out(overviewHelp(listed()));
    return Exit.Ok;
  }
  const command = await loadCommand(about);
  terminal.out(commandHelp(command, command.groups));
  return Exit.Ok;
}

const listed = () => [
  ...commandSummaries(),
  { name: "help", summary: "This text; with a command, that command's flags and variables." },
  { name: "version", summary: "Name and version." },
];
