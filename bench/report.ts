/** Ways to the agent, and contestants. */
export type Column = "direct" | "forwarder" | "ours" | "other";
export type Values = Readonly<Partial<Record<Column, number>>>;

/** What a target is about: our value, or its ratio to another one of the same row. */
export type TargetOf = "ours" | "ours/direct" | "ours/forwarder" | "ours/other";
export type Target = { readonly of: TargetOf } & ({ readonly atMost: number } | { readonly atLeast: number });

/** One line of the report. */
export interface Row {
  readonly what: string;
  readonly unit: string;
  readonly values: Values;
  /** The same from the first and the second half of the turns: how far they are apart is the noise. */
  readonly halves?: readonly [Values, Values];
  readonly target?: Target;
}

/** A value, or a ratio; undefined when a part of it was not measured. */
export function figure(values: Values, of: TargetOf): number | undefined {
  const { ours } = values;
  if (of === "ours" || ours === undefined) return ours;
  const base = {
    "ours/direct": values.direct,
    "ours/forwarder": values.forwarder,
    "ours/other": values.other,
  }[of];
  return base === undefined || base === 0 ? undefined : ours / base;
}

/** Whether the row's target is met; undefined where there is none, or nothing to compare with. */
export function meets({ target, values }: Row): boolean | undefined {
  const value = target && figure(values, target.of);
  if (target === undefined || value === undefined) return undefined;
  return "atMost" in target ? value <= target.atMost : value >= target.atLeast;
}

/**
 * A row of what was measured in turns: `reduce` makes one value of the rounds. Rounds of even and of odd numbers, which were taken in opposite
 * orders, are the halves.
 */
export function turnsRow<T>(
  row: { readonly what: string; readonly unit: string; readonly target?: Target },
  rounds: ReadonlyMap<Column, readonly T[]>,
  reduce: (some: readonly T[]) => number,
): Row {
  const values = (wanted: (round: number) => boolean): Values =>
    Object.fromEntries([...rounds].map(([name, all]) => [name, reduce(all.filter((_, n) => wanted(n)))]));
  const times = Math.min(...[...rounds.values()].map((all) => all.length));
  return {
    ...row,
    values: values(() => true),
    ...(times < 2 ? {} : { halves: [values((n) => n % 2 === 0), values((n) => n % 2 === 1)] }),
  };
}

/** How far the halves are from their middle, in percent, by the figure that the row is about. */
export function noise(row: Row): number | undefined {
  const { halves, target } = row;
  if (halves === undefined) return undefined;
  const of = target?.of ?? (row.values.other === undefined ? "ours" : "ours/other");
  const [a, b] = [figure(halves[0], of), figure(halves[1], of)];
  if (a === undefined || b === undefined || a + b === 0) return undefined;
  return (Math.abs(a - b) / (a + b)) * 100;
}

const number = (value: number | undefined): string => {
  if (value === undefined || !Number.isFinite(value)) return "";
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);
};

function targetText({ target }: Row): string {
  if (target === undefined) return "";
  const [sign, value] = "atMost" in target ? ["<=", target.atMost] : [">=", target.atLeast];
  return target.of === "ours" ? `${sign} ${value}` : `${target.of} ${sign} ${value}`;
}

function verdict(row: Row): string {
  const met = meets(row);
  if (met !== undefined) return met ? "met" : "MISSED";
  return row.target === undefined ? "" : "not compared";
}

function noiseText(row: Row): string {
  const percent = noise(row);
  return percent === undefined || !Number.isFinite(percent)
    ? ""
    : `±${percent.toFixed(percent < 10 ? 1 : 0)} %`;
}

interface Head {
  readonly name: string;
  readonly isNumber: boolean;
  readonly cell: (row: Row) => string;
}

const ratio = (of: TargetOf): Head => ({
  name: of,
  isNumber: true,
  cell: ({ values }) => number(figure(values, of)),
});

const column = (name: Column): Head => ({
  name,
  isNumber: true,
  cell: ({ values }) => number(values[name]),
});

const HEADS: readonly Head[] = [
  { name: "", isNumber: false, cell: ({ what }) => what },
  { name: "unit", isNumber: false, cell: ({ unit }) => unit },
  column("direct"),
  column("forwarder"),
  column("ours"),
  column("other"),
  ratio("ours/direct"),
  ratio("ours/forwarder"),
  ratio("ours/other"),
  { name: "noise", isNumber: true, cell: noiseText },
  { name: "target", isNumber: false, cell: targetText },
  { name: "result", isNumber: false, cell: verdict },
];

/** The rows as a Markdown table that is also readable as it is; columns without any value are left out. */
export function table(rows: readonly Row[]): string {
  const heads = HEADS.filter(({ name, cell }) => name === "" || rows.some((row) => cell(row) !== ""));
  const cells = rows.map((row) => heads.map((head) => head.cell(row)));
  const widths = heads.map((head, n) =>
    Math.max(head.name.length, 3, ...cells.map((line) => line[n]?.length ?? 0)),
  );
  const pad = (text: string, n: number): string =>
    heads[n]?.isNumber === true ? text.padStart(widths[n] ?? 0) : text.padEnd(widths[n] ?? 0);
  const line = (texts: readonly string[]): string => `| ${texts.map(pad).join(" | ")} |`;
  const rule = `|${heads.map(({ isNumber }, n) => (isNumber ? `${"-".repeat((widths[n] ?? 0) + 1)}:` : "-".repeat((widths[n] ?? 0) + 2))).join("|")}|`;
  return [line(heads.map(({ name }) => name)), rule, ...cells.map(line)].join("\n");
}
