/** One line of the report. */
export interface Row {
  readonly what: string;
  readonly unit: string;
  readonly values: Readonly<Partial<Record<"direct" | "forwarder" | "ours" | "other", number>>>;
  /** What the target is about: by default the value of ours itself. */
  readonly figure?: { readonly name: string; readonly ours: number; readonly other?: number | undefined };
  readonly target?: { readonly atMost: number } | { readonly atLeast: number };
  readonly note?: string;
}

/** Whether the row's target is met; undefined where there is none. */
export function meets(row: Row): boolean | undefined {
  const figure = row.figure?.ours ?? row.values.ours;
  if (row.target === undefined || figure === undefined) return undefined;
  return "atMost" in row.target ? figure <= row.target.atMost : figure >= row.target.atLeast;
}

const number = (value: number | undefined): string => {
  if (value === undefined || Number.isNaN(value)) return "";
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);
};

const verdict = (row: Row): string => {
  const met = meets(row);
  if (met === undefined) return "";
  return met ? "met" : "target missed";
};

/** What we add to the forwarder, which nobody can do without: the same ratio, to the way over it. */
function overForwarder({ values: { forwarder, ours, other } }: Row): string {
  if (forwarder === undefined || ours === undefined) return "";
  return `${number(ours / forwarder)}${other === undefined ? "" : ` [${number(other / forwarder)}]`}`;
}

const targetText = ({ target }: Row): string => {
  if (target === undefined) return "";
  return "atMost" in target ? `<= ${target.atMost}` : `>= ${target.atLeast}`;
};

/** The rows as a Markdown table that is also readable as it is. */
export function table(rows: readonly Row[], withOther: boolean): string {
  const heads = [
    "",
    "unit",
    "direct",
    "forwarder",
    "ours",
    ...(withOther ? ["other"] : []),
    "figure",
    "to forwarder",
    "target",
    "",
  ];
  const cells = rows.map((row) => {
    const { figure, values } = row;
    const other = figure?.other === undefined ? "" : ` [${number(figure.other)}]`;
    return [
      row.what,
      row.unit,
      number(values.direct),
      number(values.forwarder),
      number(values.ours),
      ...(withOther ? [number(values.other)] : []),
      figure === undefined ? "" : `${figure.name} ${number(figure.ours)}${other}`,
      overForwarder(row),
      targetText(row),
      verdict(row),
    ];
  });
  const widths = heads.map((head, n) =>
    Math.max(head.length, 3, ...cells.map((line) => line[n]?.length ?? 0)),
  );
  const isText = (n: number): boolean => n < 2 || n >= heads.length - 4;
  const line = (texts: readonly string[]): string =>
    `| ${texts.map((text, n) => (isText(n) ? text.padEnd(widths[n] ?? 0) : text.padStart(widths[n] ?? 0))).join(" | ")} |`;
  const rule = `|${widths.map((width, n) => (isText(n) ? "-".repeat(width + 2) : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  return [line(heads), rule, ...cells.map(line)].join("\n");
}
