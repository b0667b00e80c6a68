import type { OptionKind, OptionSpec } from "../../providers/contract.ts";
import { PROVIDERS } from "../../providers/index.ts";
import { commandSummaries, loadCommand } from "../../src/cli/commands.ts";

/** The parts of values.schema.json that follow from the declarations of options. */

export type Schema = Readonly<Record<string, unknown>>;

/** YAML has no durations, and people write numbers and switches with and without quotes. Go's oddities pass, as in the program. */
const FORMS: Readonly<Record<OptionKind, Schema>> = {
  string: { type: ["string", "number", "boolean", "null"] },
  list: { type: ["string", "number", "null"] },
  tags: { type: ["string", "null"] },
  int: { type: ["integer", "string", "null"], pattern: "^([-+]?[0-9].*)?$" },
  bool: {
    type: ["boolean", "integer", "string", "null"],
    pattern: "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[01])?$",
  },
  duration: {
    type: ["string", "null"],
    pattern: "^(0|(([0-9]+[.]?[0-9]*|[.][0-9]+)(ns|us|µs|ms|s|m|h))+)?$",
  },
};

const capital = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;

function keysOf(options: readonly OptionSpec[], knownOnly: boolean): Schema {
  const properties: Record<string, Schema> = {};
  for (const { env, kind, help, secret } of options) {
    if (env === undefined || secret === true) continue;
    const there = properties[env];
    const form = { description: `${capital(help)}.`, ...FORMS[kind] };
    // Two providers may read a key in two ways: then either will do, and the program says more.
    properties[env] = there === undefined || sameForm(there, form) ? form : { ...FORMS.string };
  }
  const sorted = Object.fromEntries(Object.entries(properties).sort(([a], [b]) => (a < b ? -1 : 1)));
  const others = { type: ["string", "number", "boolean", "null"] };
  return {
    type: "object",
    propertyNames: { pattern: "^[A-Za-z_][A-Za-z0-9_]*$" },
    properties: sorted,
    additionalProperties: knownOnly ? false : others,
  };
}

const sameForm = (a: Schema, b: Schema): boolean =>
  JSON.stringify([a["type"], a["pattern"]]) === JSON.stringify([b["type"], b["pattern"]]);

async function optionsOf(command: string): Promise<readonly OptionSpec[]> {
  if (!commandSummaries().some(({ name }) => name === command)) return [];
  return (await loadCommand(command)).groups.flatMap((group) => group.options);
}

/** Schemas of the values that name variables, and of the provider's name. */
export async function generatedSchemas(): Promise<{
  readonly provider: Schema;
  readonly definitions: Readonly<Record<string, Schema>>;
}> {
  const providers = Object.keys(PROVIDERS).sort();
  const adaptor = (await Promise.all(providers.map(optionsOf))).flat();
  return {
    provider: { enum: ["", ...providers] },
    definitions: {
      config: keysOf(adaptor, false),
      shimProxyConfig: keysOf(await optionsOf("shim-proxy"), true),
      webhookConfig: keysOf(await optionsOf("webhook"), true),
      controllerConfig: keysOf(await optionsOf("controller"), true),
    },
  };
}
