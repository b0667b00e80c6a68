import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Child } from "../node/child.ts";
import { isHealthy, Life, type LifeKind } from "./life.ts";
import type { MatrixNode } from "./matrix-node.ts";

/** Who dies at a point. */
export const CRASHES = [
  "control-plane",
  "shim-proxy",
  "both",
  "reboot",
  "shim",
  "shim-and-control-plane",
] as const;
export type Crash = (typeof CRASHES)[number];

export interface Scenario {
  readonly life: LifeKind;
  readonly point: string;
  readonly crash: Crash;
  /** Sabotages recovery, to prove that the matrix sees it: the journal forgets the VM. */
  readonly sabotage?: boolean;
}

/** Whether the pod must come through: only a control plane died, and nothing else was to go wrong. */
const podMustLive = (scenario: Scenario): boolean =>
  scenario.crash === "control-plane" && isHealthy(scenario.life);

let pods = 0;

/** Lets one life run undisturbed and returns the points it came by. */
export async function recordPoints(node: MatrixNode, life: LifeKind): Promise<readonly string[]> {
  const name = `rec-${++pods}`;
  const network = node.node.addPodNetwork(name);
  node.rememberNetwork();
  await node.prepareCloud(life);
  const control = node.startControlPlane({
    patient: life !== "shim-leaves" && life !== "no-start",
    pool: life === "pooled",
  });
  if (life === "pooled") await node.poolWaits();
  const run = new Life(node.node.hypervisorSocket, name, network.netns).run(life);
  await (isHealthy(life) || life === "delete-fails" ? run : run.catch(() => undefined));
  const points = life === "pooled" ? node.points() : [];
  const last = life === "pooled" ? await withoutPool(node, control, true) : control;
  await node.becomesClean();
  await last.kill("SIGTERM");
  node.node.removePodNetwork(name);
  return [...points, ...node.points()];
}

/** What is kept for pods that come is no residue while it is wanted; the next control plane is told that it is not. */
async function withoutPool(node: MatrixNode, control: Child, patient: boolean): Promise<Child> {
  await control.kill("SIGTERM");
  return node.startControlPlane({ patient });
}

/** Returns false when the life did not come by the point this time. Throws when something was lost or left. */
export async function play(node: MatrixNode, scenario: Scenario): Promise<boolean> {
  const name = `pod-${++pods}`;
  const network = node.node.addPodNetwork(name);
  node.rememberNetwork();
  await node.prepareCloud(scenario.life);
  const patient = podMustLive(scenario);
  const pool = scenario.life === "pooled";
  let control = node.startControlPlane({ stopAt: scenario.point, patient, pool });
  const life = new Life(node.node.hypervisorSocket, name, network.netns);
  const run = pool ? node.poolWaits().then(() => life.run(scenario.life)) : life.run(scenario.life);
  run.catch(() => undefined);
  // Cleaning goes on after the shim's last call, so the point may come later than that.
  const ended = run.catch(() => undefined);
  const over = pool ? ended : ended.then(() => node.becomesClean());
  over.catch(() => undefined);
  const reached = await node.stopped(control, over);
  if (reached) control = await crash(node, scenario, { control, life, netns: name });
  await (podMustLive(scenario) ? alive(run, life) : run.catch(() => undefined));
  if (pool) control = await withoutPool(node, control, patient);
  await node.becomesClean();
  await control.kill("SIGTERM");
  if (scenario.crash !== "reboot" || !reached) node.node.removePodNetwork(name);
  return reached;
}

async function alive(run: Promise<void>, life: Life): Promise<void> {
  try {
    await run;
  } catch (error) {
    throw new Error(`the pod was lost at ${life.at}: ${String(error)}`, { cause: error });
  }
}

interface Parts {
  readonly control: Child;
  readonly life: Life;
  readonly netns: string;
}

/** Ends what is to end, and starts what the node would start again. Returns the control plane that runs then. */
async function crash(node: MatrixNode, scenario: Scenario, parts: Parts): Promise<Child> {
  const { control, life } = parts;
  const patient = podMustLive(scenario);
  const pool = scenario.life === "pooled";
  switch (scenario.crash) {
    case "control-plane":
      await control.kill("SIGKILL");
      if (scenario.sabotage) forgetVms(node);
      return node.startControlPlane({ patient, pool });
    case "shim-proxy":
      await node.proxy?.kill("SIGKILL");
      control.process.kill("SIGCONT");
      node.proxy = await node.node.startShimProxy();
      return control;
    case "both":
      await control.kill("SIGKILL");
      await node.proxy?.kill("SIGKILL");
      node.proxy = await node.node.startShimProxy();
      return node.startControlPlane({ patient, pool });
    case "reboot":
      await control.kill("SIGKILL");
      await node.proxy?.kill("SIGKILL");
      reboot(node, parts.netns);
      node.proxy = await node.node.startShimProxy();
      return node.startControlPlane({ patient, pool });
    case "shim":
      await life.die();
      control.process.kill("SIGCONT");
      return control;
    case "shim-and-control-plane":
      await control.kill("SIGKILL");
      await life.die();
      return node.startControlPlane({ patient, pool });
  }
}

/** Pod networks that a failed scenario has left. */
export function removePods(): void {
  for (const name of existsSync("/run/netns") ? readdirSync("/run/netns") : [])
    execFileSync("ip", ["netns", "del", name]);
}

/** What a reboot leaves: the disk. Namespaces, devices, rules and /run are gone. */
function reboot(node: MatrixNode, netns: string): void {
  node.newBootId();
  node.rebootVms();
  if (node.node.options.root) {
    node.node.removePodNetwork(netns);
    for (const line of execFileSync("ip", ["-o", "link"], { encoding: "utf8" }).split("\n")) {
      const device = /^\d+: (ppv[^:@]*)/.exec(line)?.[1];
      if (device !== undefined) execFileSync("ip", ["link", "del", device]);
    }
    execFileSync("iptables", ["-t", "raw", "-F"]);
    execFileSync("iptables", ["-t", "raw", "-X"]);
  }
  for (const name of readdirSync(node.node.runDir))
    rmSync(join(node.node.runDir, name), { recursive: true, force: true });
  mkdirSync(node.node.runDir, { recursive: true });
}

function forgetVms(node: MatrixNode): void {
  const db = new DatabaseSync(join(node.node.stateDir, "journal.db"), { timeout: 5000 });
  db.exec("DELETE FROM vms; DELETE FROM sandboxes");
  db.close();
}
