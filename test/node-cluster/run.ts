import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import * as v from "valibot";
import { machineState, removeCgroups } from "../real/machine.ts";
import { type Outcome, summaryLines } from "../runner/summary.ts";
import { ALL_CASES } from "./all-cases.ts";
import type { NodeCase } from "./case.ts";
import { exportImage } from "./image.ts";
import { provideTools, type Tools } from "./tools.ts";

// What `make test-node` runs: a one-node Kubernetes in namespaces of its own, into which the chart is installed with the image, and
// whose pods get their VMs from the machine room. `run.ts <text>` runs the cases with that text in their name, besides the first,
// which installs. Needs root. README.md says the rest.

const PROJECT: string = join(import.meta.dirname, "..", "..");
const NO_SHIM = "needs containerd-shim-kata-v2 in PEERS_DIR or on PATH";

const Outcomes: v.GenericSchema<unknown, readonly Outcome[]> = v.array(
  v.object({ name: v.string(), result: v.picklist(["passed", "failed", "skipped"]), reason: v.string() }),
);

const skipped = (cases: readonly NodeCase[], reason: string): readonly Outcome[] =>
  cases.map(({ name }) => ({ name, result: "skipped", reason }));

/** Runs a command to its end with its output on ours. Resolves to its exit status. */
async function run(argv: readonly [string, ...string[]]): Promise<number> {
  const [file, ...args] = argv;
  const child = spawn(file, args, { cwd: PROJECT, stdio: ["ignore", "inherit", "inherit"] });
  // Ctrl-C: the node goes, and then what it leaves behind.
  const interrupted = (): void => void child.kill("SIGKILL");
  process.on("SIGINT", interrupted).on("SIGTERM", interrupted);
  const [code] = await once(child, "close");
  process.off("SIGINT", interrupted).off("SIGTERM", interrupted);
  return typeof code === "number" ? code : 128;
}

/** Runs cases on a node of their own. Resolves to the outcomes of those that ran. */
async function runOnNode(
  cases: readonly NodeCase[],
  logDir: string,
  image: string,
): Promise<readonly Outcome[]> {
  const cgroup = basename(logDir);
  const boot = join(import.meta.dirname, "..", "real", "node-boot.sh");
  const program = [process.execPath, ...process.execArgv, join(import.meta.dirname, "in-node.ts")];
  await run(["/bin/sh", boot, "enter", cgroup, ...program, logDir, image, ...cases.map(({ name }) => name)]);
  await removeCgroups(cgroup);
  const text = await readFile(join(logDir, "outcomes.json"), "utf8").catch(() => "[]");
  return v.parse(Outcomes, JSON.parse(text));
}

async function runAll(tools: Tools, cases: readonly NodeCase[]): Promise<readonly Outcome[]> {
  const hasShim = tools.shim !== undefined;
  const runnable = cases.filter(({ needsShim }) => hasShim || needsShim !== true);
  const others = skipped(
    cases.filter((one) => !runnable.includes(one)),
    NO_SHIM,
  );
  if (!hasShim)
    process.stdout.write(
      "without a Kata shim: pods of class kata-remote are run by runc, to try their scheduling\n",
    );
  const logDir = await mkdtemp(join(tmpdir(), "test-node-"));
  await mkdir(join(logDir, "image"));
  const before = await machineState();
  const image = await exportImage(tools, join(logDir, "image"));
  const outcomes = [...(await runOnNode(runnable, logDir, image))];
  await rm(join(logDir, "image"), { recursive: true });
  if ((await machineState()) !== before)
    outcomes.push({
      name: "the machine is as it was",
      result: "failed",
      reason: "its links or rules have changed",
    });
  const ran = new Set(outcomes.map(({ name }) => name));
  for (const { name } of runnable)
    if (!ran.has(name)) outcomes.push({ name, result: "failed", reason: "did not run" });
  if (outcomes.some(({ result }) => result === "failed")) process.stdout.write(`logs are in ${logDir}\n`);
  else await rm(logDir, { recursive: true });
  return [...others, ...outcomes];
}

const filter = (process.argv[2] ?? "").toLowerCase();
const chosen = ALL_CASES.filter(({ name }, index) => index === 0 || name.toLowerCase().includes(filter));
const tools =
  process.getuid?.() === 0 ? await provideTools(process.env["PEERS_DIR"] ?? "") : { missing: "needs root" };
const outcomes = "missing" in tools ? skipped(chosen, tools.missing) : await runAll(tools, chosen);
process.stdout.write(`\n${summaryLines(outcomes).join("\n")}\n`);
process.exitCode = outcomes.every(({ result }) => result !== "failed") ? 0 : 1;
