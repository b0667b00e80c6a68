import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import * as v from "valibot";
import { systemExec } from "../../src/platform/index.ts";
import { ALL_CASES } from "./all-cases.ts";
import { machineState, removeCgroups } from "./machine.ts";
import { findPeers, type Peers, type ShimPeer, versionsOf } from "./peers.ts";
import { chosen, type Outcome, summary, table } from "./report.ts";

// What `make test-real` runs: pods under a real containerd and Kata shim, in pod VMs with the real forwarder and agent. The peers are
// looked for in PEERS_DIR and on PATH; where one is missing, all cases count as skipped. `run.ts <text>` runs the cases with that text
// in their name. Needs root.

const Outcomes: v.GenericSchema<unknown, readonly Outcome[]> = v.array(
  v.object({
    shim: v.picklist(["Go", "Rust"]),
    name: v.string(),
    result: v.picklist(["passed", "failed"]),
    seen: v.string(),
    seconds: v.number(),
  }),
);

/** Runs the cases with one shim in a node of their own. Resolves to their outcomes. */
async function runWith(shim: ShimPeer, logDir: string, filter: string): Promise<readonly Outcome[]> {
  const cgroup = basename(logDir);
  const boot = join(import.meta.dirname, "node-boot.sh");
  const script = join(import.meta.dirname, "in-node.ts");
  const node = [process.execPath, ...process.execArgv, script, shim.name, logDir, filter];
  const child = spawn("/bin/sh", [boot, "enter", cgroup, ...node], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  await once(child, "close");
  await removeCgroups(cgroup);
  const text = await readFile(join(logDir, "outcomes.json"), "utf8").catch(() => "[]");
  return v.parse(Outcomes, JSON.parse(text));
}

async function runAll(peers: Peers, filter: string): Promise<number> {
  const versions = await versionsOf(peers, systemExec);
  const folder = await mkdtemp(join(tmpdir(), "test-real-"));
  const before = await machineState();
  const outcomes: Outcome[] = [];
  for (const shim of peers.shims) {
    const logDir = join(folder, `${basename(folder)}-${shim.name}`);
    await mkdir(logDir);
    outcomes.push(...(await runWith(shim, logDir, filter)));
  }
  const expected = chosen(ALL_CASES, filter).length * peers.shims.length;
  const problems: string[] = [];
  if ((await machineState()) !== before) problems.push("the machine's own links or rules have changed");
  if (outcomes.length < expected) problems.push(`${expected - outcomes.length} cases did not run`);
  const good = problems.length === 0 && outcomes.every(({ result }) => result === "passed");
  if (good) await rm(folder, { recursive: true });
  else problems.push(`logs are in ${folder}`);
  process.stdout.write(
    `\n${[table(outcomes, versions), "", ...problems, summary(outcomes, 0)].join("\n")}\n`,
  );
  return good ? 0 : 1;
}

const filter = process.argv[2] ?? "";
const peers = findPeers(process.env["PEERS_DIR"] ?? "", process.env["PATH"] ?? "");
const reason =
  "missing" in peers
    ? `not found in PEERS_DIR or on PATH: ${peers.missing.join(", ")}`
    : process.getuid?.() === 0
      ? ""
      : "needs root";
if ("missing" in peers || reason !== "") {
  process.stdout.write(`skipped: ${reason}\n${summary([], chosen(ALL_CASES, filter).length)}\n`);
} else {
  process.exitCode = await runAll(peers, filter);
}
