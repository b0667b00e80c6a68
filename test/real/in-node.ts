import { cp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemExec } from "../../src/platform/index.ts";
import { ALL_CASES } from "./all-cases.ts";
import { type Case, within } from "./case.ts";
import { type Node, startNode } from "./node.ts";
import { findPeers } from "./peers.ts";
import { removeAllPods } from "./pod.ts";
import { chosen, lineOf, type Outcome } from "./report.ts";

// Runs inside the private node that node-boot.sh makes: `in-node.ts <shim> <folder for logs> <filter>`. Prints a line per case and
// writes all outcomes to outcomes.json in the folder.

/** Longer than any case takes when all is well. */
const CASE_TIMEOUT_MS = 300_000;
const CLEAN_TIMEOUT_MS = 60_000;

/** An error in one line; what a stock program wrote of its stack stays in its log. */
const textOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error))
    .replaceAll("\n", " ")
    .replace(/ +Stack backtrace:.*/, "");

/** After a failure: what the next case needs. */
async function recover(node: Node): Promise<void> {
  if (!node.shimProxy.running) await node.shimProxy.start();
  if (!node.adaptor.running) await node.adaptor.start();
  await node.room.setBootDelay(0);
  await removeAllPods(node);
}

/** The consoles of VMs that still run, beside the other logs. */
async function saveConsoles(node: Node, logDir: string): Promise<void> {
  for (const vm of await node.room.vms())
    await writeFile(join(logDir, `console-${vm.name}`), await node.room.console(vm.id));
}

async function runCase(node: Node, { name, run }: Case, logDir: string): Promise<Outcome> {
  const start = performance.now();
  const outcome = (result: Outcome["result"], seen: string): Outcome => ({
    shim: node.shim.name,
    name,
    result,
    seen,
    seconds: (performance.now() - start) / 1000,
  });
  try {
    return outcome("passed", await within(CASE_TIMEOUT_MS, run(node)));
  } catch (error) {
    const failed = outcome("failed", textOf(error));
    await saveConsoles(node, logDir).catch(() => undefined);
    await within(CLEAN_TIMEOUT_MS, recover(node)).catch((cause: unknown) => {
      process.stdout.write(`       cleaning up after it failed too: ${textOf(cause)}\n`);
    });
    return failed;
  }
}

const [shimName = "", logDir = "", filter = ""] = process.argv.slice(2);
const peers = findPeers(process.env["PEERS_DIR"] ?? "", process.env["PATH"] ?? "");
if ("missing" in peers) throw new Error(`not found: ${peers.missing.join(", ")}`);
const shim = peers.shims.find(({ name }) => name === shimName);
if (shim === undefined) throw new Error(`no shim ${shimName}`);
const outcomes: Outcome[] = [];
let node: Node | undefined;
try {
  node = await startNode(peers, shim, systemExec);
  for (const one of chosen(ALL_CASES, filter)) {
    const outcome = await runCase(node, one, logDir);
    outcomes.push(outcome);
    process.stdout.write(`${lineOf(outcome)}\n`);
  }
} finally {
  await cp("/run/node/log", logDir, { recursive: true }).catch(() => undefined);
  await node?.close();
  await writeFile(join(logDir, "outcomes.json"), JSON.stringify(outcomes));
}
