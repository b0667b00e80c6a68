import type { OptionKind, OptionSpec } from "../../providers/contract.ts";
import type { OptionGroup } from "./shared-options.ts";

/** How a value is written. */
const FORMS: Readonly<Record<OptionKind, string>> = {
  string: "TEXT",
  int: "N",
  bool: "true|false",
  list: "A,B,...",
  tags: "K=V,K=V,...",
  duration: "DURATION",
};

const WIDTH = 100;
const INDENT = "        ";

/** One command, for the overview. */
export interface CommandSummary {
  readonly name: string;
  readonly summary: string;
}

/** A word that a command takes beside its flags. Those that are required come first. */
export interface Positional {
  /** As help shows it: `POD`. */
  readonly name: string;
  readonly help: string;
  readonly required: boolean;
}

/** `cloud-api-adaptor help`. */
export function overviewHelp(commands: readonly CommandSummary[]): string {
  const width = Math.max(...commands.map((command) => command.name.length));
  return [
    "Usage: cloud-api-adaptor COMMAND [flags]",
    "",
    "Remote hypervisor of Kata peer pods: runs each pod in a VM of its own, made by a cloud provider.",
    "",
    "Commands:",
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    "",
    "Without a command, CLOUD_PROVIDER names it. 'cloud-api-adaptor COMMAND --help' lists its flags and variables.",
    "",
  ].join("\n");
}

/** `cloud-api-adaptor COMMAND --help`. */
export function commandHelp(
  command: CommandSummary & { readonly positionals?: readonly Positional[] },
  groups: readonly OptionGroup[],
): string {
  const positionals = command.positionals ?? [];
  const words = positionals.map(({ name, required }) => (required ? ` ${name}` : ` [${name}]`)).join("");
  return [
    `Usage: cloud-api-adaptor ${command.name}${words} [flags]`,
    "",
    ...wrap(command.summary, "", WIDTH),
    "",
    ...positionals.flatMap(({ name, help }) => [`  ${name}`, ...wrap(sentence(help), INDENT, WIDTH), ""]),
    "A flag wins over its variable, a variable over the default; an empty value counts as unset. Flags are written",
    "-flag value, -flag=value or with two dashes; a true|false flag alone means true. Lists and K=V pairs of variable",
    "and flag add up. DURATION is a number with a unit (300ms, 90s, 5m), or several (1h30m).",
    ...groups
      .filter((group) => group.options.length > 0)
      .flatMap((group) => ["", `${group.title}:`, ...group.options.flatMap(optionHelp)]),
    "",
  ].join("\n");
}

function optionHelp(spec: OptionSpec): readonly string[] {
  const facts = [
    ...(spec.env === undefined ? ["flag only"] : [`variable ${spec.env}`]),
    ...(spec.required ? ["required"] : []),
    ...(spec.secret ? ["secret"] : []),
    ...(spec.default === undefined || spec.default === "" ? [] : [`default ${spec.default}`]),
  ];
  return [
    `  -${spec.flag} ${FORMS[spec.kind]}`,
    ...wrap(`${sentence(spec.help)} [${facts.join("; ")}]`, INDENT, WIDTH),
  ];
}

const sentence = (text: string): string => {
  const trimmed = text.replace(/\.$/, "");
  return `${trimmed.charAt(0).toUpperCase()}${trimmed.slice(1)}.`;
};

function wrap(text: string, indent: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(" ")) {
    if (line.length > indent.length && line.length + word.length > width) {
      lines.push(line.trimEnd());
      line = indent;
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}

/** When a change in the ConfigMap counts. */
const changeOf = (spec: OptionSpec): string =>
  spec.env === undefined || spec.secret ? "" : spec.live ? "live" : "restart";

/** The same as a Markdown table, for docs/configuration.md; of an adaptor's options also when a change counts. */
export function markdownTable(options: readonly OptionSpec[], of: "adaptor" | "another"): string {
  const row = (spec: OptionSpec): string =>
    [
      spec.env === undefined ? "" : `\`${spec.env}\``,
      `\`-${spec.flag}\``,
      FORMS[spec.kind],
      spec.default === undefined || spec.default === "" ? "" : `\`${spec.default}\``,
      ...(of === "adaptor" ? [changeOf(spec)] : []),
      `${sentence(spec.help)}${spec.required ? " Required." : ""}${spec.secret ? " Secret." : ""}`,
    ]
      .map((cell) => cell.replaceAll("|", "\\|"))
      .join(" | ");
  return [
    of === "adaptor"
      ? "| Variable | Flag | Form | Default | Change | Meaning |\n|---|---|---|---|---|---|"
      : "| Variable | Flag | Form | Default | Meaning |\n|---|---|---|---|---|",
    ...options.map((spec) => `| ${row(spec)} |`),
  ].join("\n");
}
