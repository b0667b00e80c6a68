import { stripVTControlCharacters, styleText } from "node:util";

export type Colour = "green" | "yellow" | "red" | "dim" | "bold";

/** Text in a colour where standard output is a terminal that shows them; NO_COLOR is honoured. */
export type Paint = (colour: Colour, text: string) => string;

/** By Node's own rules: a terminal, and neither NO_COLOR nor NODE_DISABLE_COLORS. */
export const terminalPaint: Paint = (colour, text) => styleText(colour, text, { stream: process.stdout });

export const noPaint: Paint = (_colour, text) => text;

/** Columns as wide as their widest cell; the last one as it is. Without rows nothing. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "";
  const width = (cell: string): number => stripVTControlCharacters(cell).length;
  const widths = head.map((title, n) => Math.max(width(title), ...rows.map((row) => width(row[n] ?? ""))));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, n) => (n === cells.length - 1 ? cell : cell + " ".repeat((widths[n] ?? 0) - width(cell))))
      .join("  ")
      .trimEnd();
  return `${[head, ...rows].map(line).join("\n")}\n`;
}

const UNITS = [
  ["d", 86_400],
  ["h", 3600],
  ["m", 60],
  ["s", 1],
] as const;

/** A length of time as a person says it, in one unit or two that follow one another: `41s`, `5m12s`, `3h4m`, `2d7h`. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const first = UNITS.findIndex(([, length]) => seconds >= length);
  if (first < 0) return "0s";
  let rest = seconds;
  return UNITS.slice(first, first + 2)
    .map(([unit, length]) => {
      const n = Math.floor(rest / length);
      rest -= n * length;
      return n > 0 ? `${n}${unit}` : "";
    })
    .join("");
}

/** `1 break`, `2 breaks`. */
export const counted = (n: number, thing: string): string =>
  `${n} ${thing}${n === 1 ? "" : thing.endsWith("s") ? "es" : "s"}`;

/** The same within a sentence: `41 s`, `5 min 12 s`. */
export const spokenDuration = (ms: number): string =>
  duration(ms)
    .replaceAll(/(\d+)([a-z])/g, "$1 $2 ")
    .replace("m ", "min ")
    .trim();

/** What came from outside this program, without what could move a terminal's cursor. */
export const printable = (text: string): string =>
  stripVTControlCharacters(text).replaceAll(/[\p{Cc}\p{Cf}]/gu, (c) => (c === "\n" || c === "\t" ? c : "?"));
