// `make bench`: what the way through our shim-proxy and adaptor costs, against talking to the agent directly and, where BENCH_OTHER
// names one, against another adaptor in the same run. What is compared is measured in turns.
import { writeFileSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";
import process from "node:process";
import { isInside, isRoot, prepareNamespaces } from "../test/node/namespaces.ts";
import type { BenchJson, SectionRow } from "./bench-json.ts";
import { onInterrupt, runInside } from "./inside.ts";
import { machineFacts } from "./peers.ts";
import type { Plot } from "./plot.ts";
import { meets, type Row, table } from "./report.ts";
import { SECTIONS } from "./sections.ts";
import { readSettings, type Settings } from "./settings.ts";
import { Site } from "./site.ts";

const note = (text: string): void => console.log(`  ${text}`);

interface Results {
  readonly rows: readonly SectionRow[];
  readonly charts: Readonly<Record<string, Plot>>;
  readonly tables: Readonly<Record<string, string>>;
  readonly detail: Readonly<Record<string, unknown>>;
  /** Sections that ended with an error, and which. */
  readonly failures: Readonly<Record<string, string>>;
}

async function bench(settings: Settings): Promise<number> {
  if (isRoot) prepareNamespaces();
  else
    note(
      "not root: VMs are plain processes on loopback, there are no tunnels, and the peer is our own forwarder",
    );
  noteOther(settings);
  const loadBefore = loadavg()[0] ?? 0;
  await using stack = new AsyncDisposableStack();
  const site = stack.use(await Site.open(settings, note));
  const interrupt = onInterrupt(() => stack.disposeAsync());
  stack.defer(() => interrupt.ignore());
  // What the fakes write goes with the node's folder.
  process.env["TMPDIR"] = site.node.dir;
  note(`in the pod VMs: ${site.peerName}`);
  const { detail, ...results } = await runSections(site);
  // What was cut short is no result, and the end of this function must not outrun the cleaning.
  if (interrupt.begun) await new Promise(() => undefined);
  const facts = {
    date: new Date().toISOString(),
    machine: { cores: availableParallelism(), ...machineFacts() },
    root: isRoot,
    quick: settings.quick,
    peer: site.peerName,
    other: site.hasOther && typeof settings.other === "object" ? settings.other.command : "",
    load: { before: loadBefore, after: loadavg()[0] ?? 0 },
    failures: results.failures,
  };
  print(facts, results.rows);
  const json: BenchJson = { ...facts, ...results };
  if (settings.jsonFile !== "")
    writeFileSync(settings.jsonFile, `${JSON.stringify({ ...json, detail }, null, 1)}\n`);
  return Object.keys(results.failures).length === 0 ? 0 : 1;
}

/** Each that is wanted; one that fails costs the others nothing. */
async function runSections(site: Site): Promise<Results> {
  const { only } = site.settings;
  const rows: SectionRow[] = [];
  const charts: Record<string, Plot> = {};
  const tables: Record<string, string> = {};
  const detail: Record<string, unknown> = {};
  const failures: Record<string, string> = {};
  for (const { name, run } of SECTIONS) {
    if (only.length > 0 && !only.includes(name)) continue;
    const startedMs = performance.now();
    try {
      const outcome = await run(site);
      rows.push(...outcome.rows.map((row) => ({ section: name, ...row })));
      Object.assign(charts, outcome.charts);
      Object.assign(tables, outcome.tables);
      Object.assign(detail, outcome.detail);
    } catch (error) {
      failures[name] = error instanceof Error ? (error.stack ?? error.message) : String(error);
      note(`${name} FAILED: ${failures[name]}`);
      await site.endAdaptors();
    }
    note(`${name}: ${((performance.now() - startedMs) / 1000).toFixed(0)} s`);
  }
  return { rows, charts, tables, detail, failures };
}

function noteOther({ other }: Settings): void {
  if (typeof other === "object" && isRoot) note(`other adaptor: ${other.command}`);
  else if (typeof other === "object") note("no other adaptor beside ours: it needs root");
  else
    note(
      `no other adaptor beside ours: ${other ?? "BENCH_OTHER names none (its provider: BENCH_OTHER_ARGS)"}`,
    );
}

function print(facts: Readonly<Record<string, unknown>>, rows: readonly Row[]): void {
  console.log(`\n${table(rows)}\n`);
  console.log(JSON.stringify(facts));
  const missed = rows.filter((row) => meets(row) === false);
  const counted = rows.filter((row) => meets(row) !== undefined);
  console.log(`${counted.length - missed.length} of ${counted.length} targets met`);
  for (const row of missed) console.log(`target missed: ${row.what}`);
}

if (isRoot && !isInside) process.exitCode = await runInside(import.meta.filename, process.argv.slice(2));
else process.exit(await bench(readSettings(process.env)));
