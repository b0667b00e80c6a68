import type { BenchJson, SectionRow } from "./bench-json.ts";
import { type Bar, bars, plot } from "./plot.ts";
import { figure, meets, table } from "./report.ts";

const BLOCK = /<!-- bench: ([a-z-]+) -->\n(?:.*\n)*?<!-- bench: end -->/g;

/** The document with every table that one of the files has. Throws when it has no place for one. */
export function documented(text: string, all: readonly BenchJson[]): string {
  const places = new Set([...text.matchAll(BLOCK)].map(([, name]) => name));
  const missing = all.flatMap(namesOfTables).find((name) => !places.has(name));
  if (missing !== undefined)
    throw new Error(`the document has no <!-- bench: ${missing} --> ... <!-- bench: end -->`);
  return text.replaceAll(BLOCK, (block: string, name: string) => {
    const from = all.findLast((one) => namesOfTables(one).includes(name));
    return from === undefined
      ? block
      : `<!-- bench: ${name} -->\n${tableOf(from, name)}\n<!-- bench: end -->`;
  });
}

const namesOfTables = ({ rows, tables }: BenchJson): readonly string[] => [
  ...rows.map(({ section }) => section),
  ...Object.keys(tables),
];

function tableOf(from: BenchJson, name: string): string {
  const further = from.tables[name];
  if (further !== undefined) return further;
  return `${circumstances(from)}\n\n${table(from.rows.filter(({ section }) => section === name))}`;
}

function circumstances({ date, machine, load, peer, other, quick, root }: BenchJson): string {
  const { cores, cpu, memoryGiB, kernel, node } = machine;
  return [
    `Measured on ${date.slice(0, 10)}: ${cores} cores (${cpu}), ${memoryGiB} GiB, Linux ${kernel}, Node ${node.replace(/^v/, "")},`,
    `load ${load.before.toFixed(1)} before and ${load.after.toFixed(1)} after;`,
    `${root ? "" : "without root; "}${quick ? "a quick run, of few repetitions; " : ""}in the pod VMs of the sections with real VMs: ${peer};`,
    `other: ${other === "" ? "none" : `\`${other.replace(/^.*\//, "")}\``}.`,
  ].join(" ");
}

/** Every chart by its name, and that of the ratios to the other adaptor. */
export function drawings(all: readonly BenchJson[]): ReadonlyMap<string, string> {
  const charts = all.flatMap(({ charts }) => Object.entries(charts));
  const drawn = new Map(charts.map(([name, chart]) => [name, plot(chart)]));
  const sections = new Map<string, readonly SectionRow[]>();
  for (const { rows } of all)
    for (const { section } of rows)
      sections.set(
        section,
        rows.filter((row) => row.section === section),
      );
  const ratios = [...sections.values()].flat().flatMap(toBar);
  if (ratios.length > 0)
    drawn.set(
      "ratios",
      bars(
        "Ours to the other adaptor, where there is a target",
        "ours/other; the dark line is the target",
        ratios,
      ),
    );
  return drawn;
}

function toBar(row: SectionRow): readonly Bar[] {
  const { what, target } = row;
  const value = target?.of === "ours/other" ? figure(row.values, "ours/other") : undefined;
  if (target === undefined || value === undefined || !(value > 0)) return [];
  return [
    {
      name: what,
      value,
      target: "atMost" in target ? target.atMost : target.atLeast,
      isGood: meets(row) === true,
    },
  ];
}
