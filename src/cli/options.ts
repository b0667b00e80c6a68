import type { OptionKind, OptionReader, OptionSpec } from "../../providers/contract.ts";
import { internal } from "../errors/index.ts";
import { Secret } from "../platform/index.ts";
import {
  type Reading,
  readDuration,
  readEnvBool,
  readEnvInt,
  readFlagBool,
  readFlagInt,
  readList,
  readTags,
} from "./go-values.ts";

/** Where values come from: flags win over variables, variables over defaults. */
export interface OptionSources {
  readonly flags: ReadonlyMap<string, readonly string[]>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The values, and all that is to be said about them. Values of options with a problem read as unset. */
export interface OptionResult extends OptionReader {
  /** Accepted, but perhaps not what was meant. One sentence each, naming key and value. */
  readonly warnings: readonly string[];
  /** Reasons not to start, each naming key, value and accepted form. */
  readonly problems: readonly string[];
}

type Value = string | number | boolean | readonly string[] | Readonly<Record<string, string>> | undefined;

interface Given {
  /** As the operator knows it: `-proxy-timeout` or `PROXY_TIMEOUT`. */
  readonly key: string;
  readonly text: string;
  readonly from: "flag" | "env" | "default";
}

interface Notes {
  readonly warnings: string[];
  readonly problems: string[];
}

const MAX_SHOWN_CHARS = 80;

/**
 * Reads every declared option by the Go adaptor's rules (src/cloud-providers/util.go), with two differences: an empty flag puts
 * the option back to its default, and what Go silently ignored is a problem. `validate` of a spec is given the text of a scalar,
 * each item of a list, and each `key=value` of tags; never an unset one.
 */
export function readOptions(specs: readonly OptionSpec[], sources: OptionSources): OptionResult {
  const notes: Notes = { warnings: [], problems: [] };
  const values = new Map<string, { readonly spec: OptionSpec; readonly value: Value }>();
  for (const spec of specs) {
    if (values.has(spec.flag)) throw internal(`option -${spec.flag} is declared twice`);
    values.set(spec.flag, { spec, value: readOption(spec, sources, notes) });
  }
  const look = (flag: string, ...kinds: readonly OptionKind[]): Value => {
    const entry = values.get(flag);
    if (entry === undefined) throw internal(`option -${flag} is not declared`);
    if (!kinds.includes(entry.spec.kind)) throw internal(`option -${flag} is of kind ${entry.spec.kind}`);
    return entry.value;
  };
  return {
    ...notes,
    string: (flag) => textOf(look(flag, "string")),
    secret: (flag) => {
      const text = textOf(look(flag, "string"));
      return text === "" ? undefined : new Secret(text);
    },
    int: (flag) => numberOf(look(flag, "int")),
    bool: (flag) => look(flag, "bool") === true,
    list: (flag) => {
      const value = look(flag, "list");
      return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
    },
    tags: (flag) => tagsOf(look(flag, "tags")),
    durationMs: (flag) => numberOf(look(flag, "duration")),
  };
}

const textOf = (value: Value): string => (typeof value === "string" ? value : "");
const numberOf = (value: Value): number | undefined => (typeof value === "number" ? value : undefined);
const tagsOf = (value: Value): Readonly<Record<string, string>> =>
  typeof value === "object" && !Array.isArray(value) ? Object.fromEntries(Object.entries(value)) : {};

function readOption(spec: OptionSpec, sources: OptionSources, notes: Notes): Value {
  const given = gather(spec, sources, notes);
  const problemsBefore = notes.problems.length;
  const value = given.reduce<Value>(
    (before, one) => merge(spec, before, readOne(spec, one, notes)),
    undefined,
  );
  const isUnset = given.length === 0 || (Array.isArray(value) && value.length === 0);
  if (spec.required && isUnset && notes.problems.length === problemsBefore) {
    notes.problems.push(`${keys(spec)} is not set; it is required: ${spec.help}`);
  }
  return value;
}

/** `AZURE_REGION (flag -region)`, or the flag alone. */
function keys(spec: OptionSpec): string {
  return spec.env === undefined ? `-${spec.flag}` : `${spec.env} (flag -${spec.flag})`;
}

/** The texts that count, in the order in which they apply: one for a scalar; for lists and tags variable and flags add up. */
function gather(spec: OptionSpec, sources: OptionSources, notes: Notes): readonly Given[] {
  const key = `-${spec.flag}`;
  const flags = sources.flags.get(spec.flag) ?? [];
  const lastEmpty = flags.lastIndexOf("");
  const fromFlags = flags.slice(lastEmpty + 1).map((text): Given => ({ key, text, from: "flag" }));
  const envText = spec.env === undefined ? "" : (sources.env[spec.env] ?? "");
  const fromEnv: readonly Given[] =
    envText === "" ? [] : [{ key: spec.env ?? "", text: envText, from: "env" }];
  const fromDefault: readonly Given[] =
    spec.default === undefined || spec.default === "" ? [] : [{ key, text: spec.default, from: "default" }];
  if (lastEmpty >= 0 && fromEnv.length > 0) {
    notes.warnings.push(`${key} is given empty, so ${spec.env} does not count`);
  }
  if (spec.secret && fromFlags.length > 0) {
    const advice = spec.env === undefined ? "" : `; give it as ${spec.env} instead`;
    notes.warnings.push(`${key}: everyone on this machine can read the command line${advice}`);
  }
  const env = lastEmpty >= 0 ? [] : fromEnv;
  if (spec.kind === "list" || spec.kind === "tags") {
    const all = [...env, ...fromFlags];
    return all.length > 0 ? all : fromDefault;
  }
  const winner = fromFlags.at(-1) ?? env[0] ?? fromDefault[0];
  return winner === undefined ? [] : [winner];
}

function merge(spec: OptionSpec, before: Value, after: Value): Value {
  if (spec.kind === "list" && Array.isArray(before) && Array.isArray(after)) return [...before, ...after];
  if (spec.kind === "tags") return { ...tagsOf(before), ...tagsOf(after) };
  return after;
}

function readOne(spec: OptionSpec, given: Given, notes: Notes): Value {
  const reading = readKind(spec.kind, given);
  if (!reading.ok) {
    notes.problems.push(`${shown(spec, given)}: expected ${reading.expected}`);
    return undefined;
  }
  if (reading.odd !== undefined) notes.warnings.push(`${shown(spec, given)} ${reading.odd}`);
  if (spec.kind === "string" && given.text !== given.text.trim()) {
    notes.warnings.push(`${shown(spec, given)} begins or ends with white space, which is kept`);
  }
  const reasons = parts(spec.kind, given.text, reading.value).flatMap((part) => spec.validate?.(part) ?? []);
  for (const reason of new Set(reasons)) {
    const safe = spec.secret ? reason.replaceAll(given.text, "[redacted]") : reason;
    notes.problems.push(`${shown(spec, given)}: ${safe}`);
  }
  return reasons.length > 0 ? undefined : reading.value;
}

function readKind(kind: OptionKind, { text, from }: Given): Reading<Value> {
  switch (kind) {
    case "string":
      return { ok: true, value: text };
    case "int":
      return from === "flag" ? readFlagInt(text) : readEnvInt(text);
    case "bool":
      return from === "flag" ? readFlagBool(text) : readEnvBool(text);
    case "list":
      return { ok: true, value: readList(text) };
    case "tags":
      return readTags(text);
    case "duration":
      return readDuration(text);
  }
}

/** The texts that a spec's `validate` judges. */
function parts(kind: OptionKind, text: string, value: Value): readonly string[] {
  if (kind === "list") return Array.isArray(value) ? value : [];
  if (kind === "tags") return Object.entries(tagsOf(value)).map(([key, tag]) => `${key}=${tag}`);
  return typeof value === "number" && kind === "int" ? [value.toString()] : [text];
}

function shown(spec: OptionSpec, given: Given): string {
  const text = given.text.length > MAX_SHOWN_CHARS ? `${given.text.slice(0, MAX_SHOWN_CHARS)}…` : given.text;
  const needsQuotes = !/^[\x21-\x7e…]*$/.test(text);
  return `${given.key}=${spec.secret ? "[redacted]" : needsQuotes ? JSON.stringify(text) : text}`;
}
