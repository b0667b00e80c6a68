import type { Expression, Matcher, Selector } from "./promql.ts";

/** One line of what Prometheus reads. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** The samples of an answer in Prometheus' text form. Throws for a line that is none. */
export function readSamples(text: string): Sample[] {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [, name = "", labels = "", value = ""] = LINE.exec(line) ?? [];
      if (name === "") throw new Error(`not a sample: ${line}`);
      return {
        name,
        labels: Object.fromEntries([...labels.matchAll(LABEL)].map(([, key = "", text = ""]) => [key, text])),
        value: Number(value),
      };
    });
}

/** Labels that Prometheus puts on what it scrapes. */
const OF_THE_TARGET = new Set(["instance", "job"]);

/** What an expression names that these samples do not have, one sentence each. */
export function missingIn(samples: readonly Sample[], expression: Expression): string[] {
  const named = expression.selectors.flatMap((selector) => missingSelector(samples, selector));
  const known = new Set(
    samples
      .filter(({ name }) => expression.selectors.some(({ metric }) => metric === name))
      .flatMap(({ labels }) => Object.keys(labels)),
  );
  const unknown = expression.grouping.filter((label) => !known.has(label) && !OF_THE_TARGET.has(label));
  return [...named, ...unknown.map((label) => `no metric of the expression has the label ${label}`)];
}

function missingSelector(samples: readonly Sample[], { metric, matchers }: Selector): string[] {
  const series = samples.filter(({ name }) => name === metric);
  if (series.length === 0) return [`there is no ${metric}`];
  const own = matchers.filter(({ label }) => !OF_THE_TARGET.has(label));
  const unlabelled = own.filter(({ label }) => !series.some(({ labels }) => label in labels));
  if (unlabelled.length > 0) return unlabelled.map(({ label }) => `${metric} has no label ${label}`);
  if (series.some(({ labels }) => own.every((matcher) => matches(labels, matcher)))) return [];
  return [`no series of ${metric} has ${own.map((m) => `${m.label}${m.operator}"${m.value}"`).join(", ")}`];
}

function matches(labels: Sample["labels"], { label, operator, value }: Matcher): boolean {
  const actual = labels[label] ?? "";
  const equal = operator.endsWith("~") ? new RegExp(`^(?:${value})$`).test(actual) : actual === value;
  return operator.startsWith("!") ? !equal : equal;
}
