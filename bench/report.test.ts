import { expect, test } from "vitest";
import { meets, noise, type Row, table, turnsRow } from "./report.ts";

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
const row = (values: Row["values"], target?: Row["target"]): Row => ({
  what: "a row",
  unit: "ms",
  values,
  ...(target && { target }),
});

test("a target is about ours, or about the ratio that it names", () => {
  const values = { direct: 1, ours: 6, other: 8 };
  expect(meets(row(values, { of: "ours", atMost: 6 }))).toBe(true);
  expect(meets(row(values, { of: "ours/other", atMost: 0.7 }))).toBe(false);
  expect(meets(row(values, { of: "ours/other", atLeast: 0.7 }))).toBe(true);
  expect(meets(row(values, { of: "ours/direct", atMost: 5 }))).toBe(false);
});

test("a target to what was not measured is neither met nor missed, and the report says so", () => {
  const alone = row({ ours: 6 }, { of: "ours/other", atMost: 0.8 });
  expect(meets(alone)).toBeUndefined();
  expect(table([alone])).toContain("not compared");
  expect(meets(row({ ours: 6 }))).toBeUndefined();
});

test("the noise is how far the two halves of the turns are from their middle", () => {
  const rounds = new Map([
    ["ours", [10, 30, 10, 30]],
    ["other", [20, 20, 20, 20]],
  ] as const);
  const measured = turnsRow({ what: "a row", unit: "ms" }, rounds, mean);
  expect(measured.values).toEqual({ ours: 20, other: 20 });
  expect(measured.halves).toEqual([
    { ours: 10, other: 20 },
    { ours: 30, other: 20 },
  ]);
  expect(noise(measured)).toBe(50);
  expect(table([measured])).toContain("±50 %");
});

test("what was measured once has no noise", () => {
  const once = turnsRow({ what: "a row", unit: "ms" }, new Map([["ours", [10]]] as const), mean);
  expect(noise(once)).toBeUndefined();
});

test("columns without a value are left out of the table", () => {
  const [heads = ""] = table([row({ ours: 6 })]).split("\n");
  expect(heads).toContain("ours");
  expect(heads).not.toMatch(/other|direct|target/);
});
