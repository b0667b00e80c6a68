/** One line or cloud of points of a plot. */
export interface Series {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly dashed?: boolean;
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
            `<polyline fill="none" stroke="${one.colour}" stroke-width="2"${one.dashed ? ' stroke-dasharray="6 4"' : ""} points="${one.points.map(([px, py]) => `${at(x(px))},${at(y(py))}`).join(" ")}"/>`,
          ]),
      `<text x="${LEFT + 12}" y="${TOP + 16 + n * 16}" fill="${one.colour}">${escaped(one.name)}</text>`,
    ]),
    "</svg>",
    "",
  ].join("\n");
}
