import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../real/service.ts";
import { chartCases } from "./chart-cases.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import { clusterCases } from "./cluster-cases.ts";
import { configCases } from "./config-cases.ts";
import { controllerCases } from "./controller-cases.ts";
import { doctorCases } from "./doctor-cases.ts";
import { nodeCases } from "./node-cases.ts";
import { buildPrograms, CONTROL_PLANE } from "./programs.ts";
import { webhookCases } from "./webhook-cases.ts";

// One real control plane for the suites of all areas: each is a function `<area>Cases(cluster)` in <area>-cases.ts, called below.
// README.md says what a cluster can do.

/** Processes that have a folder on their command line. */
async function processesOf(dir: string): Promise<readonly string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")),
  );
  return lines.filter((line) => line.includes(`=${dir}/`));
}

const START_TIMEOUT_MS = 5 * 60_000;

const built = await buildPrograms(CONTROL_PLANE);
const reason = "missing" in built ? ` (${built.missing})` : "";

describe.skipIf("missing" in built)(`with a real control plane${reason}`, () => {
  let running: Cluster | undefined;
  const cluster = (): Cluster => {
    if (running === undefined) throw new Error("the cluster is there only while a test or hook runs");
    return running;
  };

  beforeAll(async () => {
    if ("paths" in built) running = await startCluster(built.paths);
  }, START_TIMEOUT_MS);

  afterAll(async () => {
    await running?.[Symbol.asyncDispose]();
  });

  clusterCases(cluster);
  chartCases(cluster);
  webhookCases(cluster);
  nodeCases(cluster);
  configCases(cluster);
  controllerCases(cluster);
  doctorCases(cluster);

  test("nothing is left of a control plane whose process was killed", async () => {
    if ("missing" in built) return;
    const script = join(import.meta.dirname, "hold-cluster.ts");
    const programs = [built.paths.etcd, built.paths["kube-apiserver"]];
    const holder = spawn(process.execPath, [script, ...programs], { stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(holder, "exit");
    const [dir] = await Promise.race([once(createInterface(holder.stdout), "line"), ended]);
    expect(await processesOf(String(dir))).toHaveLength(2);
    holder.kill("SIGKILL");
    await ended;
    await until("all gone", 30_000, async () => {
      return !existsSync(String(dir)) && (await processesOf(String(dir))).length === 0;
    });
  });
});
