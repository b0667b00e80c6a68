import { expect, test } from "vitest";
import { type BenchJson, parseBenchJson } from "./bench-json.ts";
import { documented, drawings } from "./document.ts";

const place = (section: string, text: string): string =>
  `<!-- bench: ${section} -->\n${text}\n<!-- bench: end -->`;
const DOCUMENT = `# Performance\n\n${place("start-up", "old start")}\n\nBetween.\n\n${place("recovery", "old recovery")}\n`;

function measured(section: string, ours: number, date = "2026-11-26T00:00:00.000Z"): BenchJson {
  return {
    date,
    machine: { cores: 2, cpu: "A CPU", memoryGiB: 24, kernel: "6.1", node: "v24.0.0" },
    root: true,
    quick: false,
    peer: "a peer",
    other: "/somewhere/adaptor",
    load: { before: 0.5, after: 1.5 },
    failures: {},
    rows: [
      {
        section,
        what: "a row",
        unit: "ms",
        values: { ours, other: 20 },
        target: { of: "ours/other", atMost: 0.8 },
      },
    ],
    tables: {},
    charts: {
      cost: {
        title: "Cost",
        xLabel: "pods",
        yLabel: "ms",
        series: [{ name: "ours", colour: "blue", points: [[1, 2] as const, [20, 3] as const] }],
      },
    },
  };
}

test("a section's table and the circumstances take the place of the old ones; what was not measured stays", () => {
  const text = documented(DOCUMENT, [measured("start-up", 10)]);
  expect(text).toContain("| a row | ms");
  expect(text).toContain("Measured on 2026-11-26");
  expect(text).not.toContain("old start");
  expect(text).toContain("Between.");
  expect(text).toContain("old recovery");
  // Where the other one lies on this machine is nobody's business.
  expect(text).not.toContain("/somewhere");
});

test("to do it again changes nothing, and of two files that have a section the later one counts", () => {
  const [older, newer] = [measured("start-up", 10), measured("start-up", 11.5)];
  const text = documented(DOCUMENT, [older, newer]);
  expect(text).toContain("11.5");
  expect(documented(text, [newer])).toBe(text);
});

test("a section without a place in the document is refused", () => {
  expect(() => documented(DOCUMENT, [measured("unknown", 1)])).toThrow(/<!-- bench: unknown -->/);
});

test("a further table is taken as it is", () => {
  const text = documented(`${DOCUMENT}${place("kinds", "")}`, [
    { ...measured("start-up", 1), tables: { kinds: "| a |" } },
  ]);
  expect(text).toContain(place("kinds", "| a |"));
});

test("charts are drawn, and one of the ratios that have a target", () => {
  const drawn = drawings([measured("start-up", 10)]);
  expect([...drawn.keys()]).toEqual(["cost", "ratios"]);
  for (const svg of drawn.values()) expect(svg).toMatch(/^<svg .*<\/svg>\n$/s);
  expect(drawn.get("ratios")).toContain("a row");
});

test("what the bench writes can be read again, with values that could not be computed", () => {
  const written = measured("start-up", Number.NaN);
  expect(parseBenchJson(JSON.stringify({ ...written, detail: {} }))).toEqual(written);
  expect(() => parseBenchJson("{}")).toThrow();
});
