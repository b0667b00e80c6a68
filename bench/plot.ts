/** One line or cloud of points of a plot. */
export interface Series {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly dashed?: boolean;
  /** A mark at each point of the line. */
  readonly marks?: boolean;
  /** Points without a line. */
  readonly dots?: boolean;
}

export interface Plot {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly Series[];
}

const WIDTH = 720;
const HEIGHT = 400;
const LEFT = 70;
const RIGHT = 20;
const TOP = 40;
const BOTTOM = 60;

/** Powers of ten that span the values. */
function decades(values: readonly number[]): readonly [number, number] {
  const low = Math.floor(Math.log10(Math.min(...values)));
  return [low, Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))))];
}

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** An SVG with logarithmic axes. Every value must be above zero. */
export function plot({ title, xLabel, yLabel, series }: Plot): string {
  const points = series.flatMap((one) => one.points);
  const [xLow, xHigh] = decades(points.map(([x]) => x));
  const [yLow, yHigh] = decades(points.map(([, y]) => y));
  const x = (value: number): number =>
    LEFT + ((Math.log10(value) - xLow) / (xHigh - xLow)) * (WIDTH - LEFT - RIGHT);
  const y = (value: number): number =>
    HEIGHT - BOTTOM - ((Math.log10(value) - yLow) / (yHigh - yLow)) * (HEIGHT - TOP - BOTTOM);
  const at = (n: number): string => n.toFixed(1);
  const grid = (from: number, to: number): number[] =>
    Array.from({ length: to - from + 1 }, (_, n) => 10 ** (from + n));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    `<text x="${WIDTH / 2}" y="22" text-anchor="middle" font-size="14">${escaped(title)}</text>`,
    ...grid(xLow, xHigh).flatMap((value) => [
      `<line x1="${at(x(value))}" x2="${at(x(value))}" y1="${TOP}" y2="${HEIGHT - BOTTOM}" stroke="#ddd"/>`,
      `<text x="${at(x(value))}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${value}</text>`,
    ]),
    ...grid(yLow, yHigh).flatMap((value) => [
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at(y(value))}" y2="${at(y(value))}" stroke="#ddd"/>`,
      `<text x="${LEFT - 6}" y="${at(y(value) + 4)}" text-anchor="end">${value}</text>`,
    ]),
    `<text x="${WIDTH / 2}" y="${HEIGHT - BOTTOM + 36}" text-anchor="middle">${escaped(xLabel)}</text>`,
    `<text x="16" y="${HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 16 ${HEIGHT / 2})">${escaped(yLabel)}</text>`,
    ...series.flatMap((one, n) => [
      ...(one.dots
        ? one.points.map(
            ([px, py]) => `<circle cx="${at(x(px))}" cy="${at(y(py))}" r="4" fill="${one.colour}"/>`,
          )
        : [
            ...(!one.marks
              ? []
              : one.points.map(
                  ([px, py]) => `<circle cx="${at(x(px))}" cy="${at(y(py))}" r="3" fill="${one.colour}"/>`,
                )),
            `<polyline fill="none" stroke="${one.colour}" stroke-width="2"${one.dashed ? ' stroke-dasharray="6 4"' : ""} points="${one.points.map(([px, py]) => `${at(x(px))},${at(y(py))}`).join(" ")}"/>`,
          ]),
      `<text x="${LEFT + 12}" y="${TOP + 16 + n * 16}" fill="${one.colour}">${escaped(one.name)}</text>`,
    ]),
    "</svg>",
    "",
  ].join("\n");
}

/** One bar of a chart of ratios. */
export interface Bar {
  readonly name: string;
  readonly value: number;
  /** What it should be at most or at least; drawn as a line. */
  readonly target?: number;
  readonly isGood: boolean;
}

const BAR_HEIGHT = 22;
const NAME_WIDTH = 330;

/** An SVG of horizontal bars that begin at 1 on a logarithmic axis. Every value must be above zero. */
export function bars(title: string, axis: string, all: readonly Bar[]): string {
  const values = all.flatMap(({ value, target }) => [value, target ?? 1]);
  const low = Math.min(0.5, ...values) / 1.1;
  const high = Math.max(2, ...values) * 1.1;
  const x = (value: number): number =>
    NAME_WIDTH + (Math.log(value / low) / Math.log(high / low)) * (WIDTH - NAME_WIDTH - RIGHT);
  const at = (n: number): string => n.toFixed(1);
  const bottom = TOP + all.length * BAR_HEIGHT;
  const marks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20].filter((value) => value > low && value < high);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${bottom + BOTTOM}" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${bottom + BOTTOM}" fill="white"/>`,
    `<text x="${WIDTH / 2}" y="22" text-anchor="middle" font-size="14">${escaped(title)}</text>`,
    ...marks.flatMap((value) => [
      `<line x1="${at(x(value))}" x2="${at(x(value))}" y1="${TOP}" y2="${bottom}" stroke="${value === 1 ? "#333" : "#ddd"}"/>`,
      `<text x="${at(x(value))}" y="${bottom + 16}" text-anchor="middle">${value}</text>`,
    ]),
    ...all.flatMap(({ name, value, target, isGood }, n) => {
      const top = TOP + n * BAR_HEIGHT + 4;
      const [from, to] = [Math.min(1, value), Math.max(1, value)].map(x);
      const line = target === undefined ? undefined : x(target);
      return [
        `<text x="${NAME_WIDTH - 8}" y="${top + 11}" text-anchor="end">${escaped(name)}</text>`,
        `<rect x="${at(from ?? 0)}" width="${at((to ?? 0) - (from ?? 0))}" y="${top}" height="14" fill="${isGood ? "#27ae60" : "#c0392b"}"/>`,
        ...(line === undefined
          ? []
          : [
              `<line x1="${at(line)}" x2="${at(line)}" y1="${top - 3}" y2="${top + 17}" stroke="#2c3e50" stroke-width="2"/>`,
            ]),
      ];
    }),
    `<text x="${(NAME_WIDTH + WIDTH) / 2}" y="${bottom + 36}" text-anchor="middle">${escaped(axis)}</text>`,
    "</svg>",
    "",
  ].join("\n");
}
