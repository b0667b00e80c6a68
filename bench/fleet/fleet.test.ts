import { expect, test } from "vitest";
import { plot } from "../plot.ts";
import { type FleetRun, simulateAzure } from "./azure-fleet.ts";
import { estimate, fitFactor, floor } from "./model.ts";

test("ten nodes that start thirty pods each at once stay within Azure's limits, fail none and leave nothing", async () => {
  const run = await simulateAzure({ nodes: 10, podsPerNode: 30, steadySeconds: 7200, reaperSeconds: 3600 });
  expect(run.left).toEqual([]);
  expect(run.burst.repeated + run.end.repeated).toBe(0);
  // Virtual seconds, the same on every machine: the floor is what Azure allows, and the burst stays within four times that.
  expect(run.burst.p99).toBeLessThan(4 * floor(300).floorSeconds);
  // Most of the calls that Azure refuses are told so once.
  expect(run.burst.throttled).toBeLessThan(300);
  expect(run.steady.throttled).toBe(0);
});

const ran = (nodes: number, p99: number): FleetRun => {
  const phase = { seconds: 0, calls: 0, byPath: {}, throttled: 0, repeated: 0, p50: 0, p99 };
  const shape = { nodes, podsPerNode: 30, steadySeconds: 0, reaperSeconds: 0 };
  return { shape, burst: phase, steady: phase, end: phase, refused: {}, left: [] };
};

test("the model goes through the runs that it was fitted to", () => {
  const double = [20, 50].map((nodes) => ran(nodes, 20 + 2 * (floor(nodes * 30).floorSeconds - 20)));
  expect(fitFactor(double)).toBeCloseTo(2);
  expect(estimate(30_000, 2).seconds).toBeCloseTo(20 + (2 * (30_000 - 200)) / 10);
  expect(estimate(30, 2)).toEqual({ pods: 30, floorSeconds: 20, seconds: 20, bound: "boot" });
});

test("runs that no limit has slowed fit no model", () => {
  expect(() => fitFactor([ran(1, 20)])).toThrow("larger fleet");
});

test("a plot is a drawing with every series", () => {
  const svg = plot({
    title: "a < b",
    xLabel: "x",
    yLabel: "y",
    series: [
      {
        name: "dots",
        colour: "red",
        dots: true,
        points: [
          [1, 1],
          [100, 1000],
        ],
      },
      {
        name: "line",
        colour: "blue",
        points: [
          [1, 1],
          [10, 10],
        ],
      },
    ],
  });
  expect(svg).toContain("a &lt; b");
  expect(svg.match(/<circle/g)).toHaveLength(2);
  expect(svg.match(/<polyline/g)).toHaveLength(1);
});
