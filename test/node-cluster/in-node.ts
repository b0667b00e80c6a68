import { cp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { within } from "../real/case.ts";
import type { Outcome } from "../runner/summary.ts";
import { ALL_CASES } from "./all-cases.ts";
import type { NodeCase } from "./case.ts";
import { describeCluster } from "./describe.ts";
import { type ClusterNode, LOGS, startNode } from "./node.ts";
import { provideTools } from "./tools.ts";

// Runs inside the private node that node-boot.sh makes: `in-node.ts <folder for logs> <image archive> <name of case>...`. Prints a
// line per case and writes all outcomes to outcomes.json in the folder.

/** Longer than any case takes when all is well. */
const CASE_TIMEOUT_MS = 600_000;

async function runCase(node: ClusterNode, { name, run }: NodeCase, logDir: string): Promise<Outcome> {
  const start = performance.now();
  const line = (result: string, seen: string): void => {
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    process.stdout.write(`${result} ${name} (${seconds} s)${seen === "" ? "" : `\n       ${seen}`}\n`);
  };
  try {
    line("ok  ", await within(CASE_TIMEOUT_MS, run(node)));
    return { name, result: "passed", reason: "" };
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).trim().replaceAll("\n", " ");
    line("FAIL", reason);
    await writeFile(join(logDir, `after ${name.replaceAll("/", "-")}.txt`), await describeCluster(node));
    return { name, result: "failed", reason };
  }
}

const [logDir = "", image = "", ...names] = process.argv.slice(2);
const tools = await provideTools(process.env["PEERS_DIR"] ?? "");
if ("missing" in tools) throw new Error(tools.missing);
const outcomes: Outcome[] = [];
const stack = new AsyncDisposableStack();
try {
  const node = await startNode(stack, tools, [image]);
  for (const one of ALL_CASES.filter(({ name }) => names.includes(name)))
    outcomes.push(await runCase(node, one, logDir));
} finally {
  await cp(LOGS, join(logDir, "log"), { recursive: true }).catch(() => undefined);
  await writeFile(join(logDir, "outcomes.json"), JSON.stringify(outcomes));
  await stack.disposeAsync();
}
