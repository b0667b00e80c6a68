// `make fleet`: a fleet of nodes in simulation, and a model for larger ones. FLEET_SHAPES=nodes x pods per node, `1x30,50x30`; FLEET_JSON and
// FLEET_PLOT name files for what came out. Virtual time: the figures do not depend on the machine, only the waiting does.
import { writeFileSync } from "node:fs";
import { plot } from "../plot.ts";
import { type FleetRun, simulateAzure } from "./azure-fleet.ts";
import { estimate, fitFactor, floor } from "./model.ts";

const SHAPES = process.env["FLEET_SHAPES"] ?? "1x30,5x30,10x30,20x30,50x30";
/** Nodes of 30 pods for which only the model speaks. */
const MODELLED = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
const REAPER_SECONDS = 3600;

function parseShape(text: string): { readonly nodes: number; readonly podsPerNode: number } {
  const [, nodes, pods] = /^(\d+)x(\d+)$/.exec(text.trim()) ?? [];
  if (nodes === undefined || pods === undefined)
    throw new Error(`FLEET_SHAPES: ${text} is not of the form 50x30`);
  return { nodes: Number(nodes), podsPerNode: Number(pods) };
}

function row(run: FleetRun): string {
  const { shape, burst, steady, end } = run;
  const pods = shape.nodes * shape.podsPerNode;
  const cells = [
    `${shape.nodes} x ${shape.podsPerNode}`,
    burst.p50.toFixed(0),
    burst.p99.toFixed(0),
    floor(pods).floorSeconds.toFixed(0),
    (burst.calls / pods).toFixed(1),
    burst.throttled,
    burst.repeated,
    (steady.calls / steady.seconds).toFixed(2),
    end.p99.toFixed(0),
    end.throttled,
    run.left.length,
  ];
  return `| ${cells.join(" | ")} |`;
}

const runs: FleetRun[] = [];
console.log(
  "| nodes x pods | ready p50, s | p99, s | floor, s | calls per pod | 429s | repeated | calls/s when quiet | deleted p99, s | 429s | left |",
);
console.log("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
for (const text of SHAPES.split(",")) {
  const run = await simulateAzure({
    ...parseShape(text),
    steadySeconds: 7200,
    reaperSeconds: REAPER_SECONDS,
  });
  runs.push(run);
  console.log(row(run));
}
const factor = fitFactor(runs);
console.log(`\nmodel: seconds = 20 + ${factor.toFixed(2)} x (floor - 20)\n`);
console.log("| nodes of 30 pods | pods | floor, s | modelled, s | bound by |");
console.log("|---:|---:|---:|---:|---|");
const modelled = MODELLED.map((nodes) => ({ nodes, ...estimate(nodes * 30, factor) }));
for (const { nodes, pods, floorSeconds, seconds, bound } of modelled)
  console.log(`| ${nodes} | ${pods} | ${floorSeconds.toFixed(0)} | ${seconds.toFixed(0)} | ${bound} |`);

const json = process.env["FLEET_JSON"] ?? "";
if (json !== "") writeFileSync(json, JSON.stringify({ runs, factor, modelled }, undefined, 1));
const svg = process.env["FLEET_PLOT"] ?? "";
if (svg !== "")
  writeFileSync(
    svg,
    plot({
      title: "A burst of pods on one Azure subscription: until 99 % are ready",
      xLabel: "pods at once",
      yLabel: "seconds",
      series: [
        {
          name: "simulated",
          colour: "#c0392b",
          dots: true,
          points: runs.map(({ shape, burst }) => [shape.nodes * shape.podsPerNode, burst.p99]),
        },
        { name: "model", colour: "#2c3e50", points: modelled.map(({ pods, seconds }) => [pods, seconds]) },
        {
          name: "floor: what Azure lets one account ask",
          colour: "#7f8c8d",
          dashed: true,
          points: modelled.map(({ pods, floorSeconds }) => [pods, floorSeconds]),
        },
      ],
    }),
  );
if (runs.some(({ left }) => left.length > 0)) process.exitCode = 1;
