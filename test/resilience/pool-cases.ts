import type { Child } from "../node/child.ts";
import { type Case, must } from "./case.ts";
import { never, type RunningPod, type Stage } from "./stage.ts";

/** A boot that no test waits for: what comes up all the same was up before. */
const ENDLESS_BOOT_MS = 24 * 60 * 60 * 1000;
const WAITING = "SELECT name FROM pool WHERE phase = 'waiting'";

const POOL = ["-pod-vm-pool=1"];

const vmNameOf = (stage: Stage, { pod }: RunningPod): unknown =>
  stage.journal(`SELECT name FROM vms WHERE sandbox_id = '${pod.id}'`)[0]?.["name"];

/** A control plane that is told of no pool deletes what another one has kept for it. */
async function emptyPool(stage: Stage, keeping: Child): Promise<void> {
  await keeping.kill("SIGTERM");
  stage.control();
  await stage.journalHas("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pool)");
}

async function waitingVm(stage: Stage): Promise<string> {
  await stage.journalHas(WAITING);
  return String(stage.journal(WAITING)[0]?.["name"]);
}

const TAKEN: Case = {
  name: "a pod that finds a VM waiting does not wait for a boot, and runs in it",
  stage: { limit: 2 },
  async run(stage) {
    const keeping = stage.control(POOL);
    const name = await waitingVm(stage);
    await stage.cloud.settings({ bootDelayMs: ENDLESS_BOOT_MS }, never);
    const pod = await stage.runPod(["sh", "-c", "while :; do sleep 1; done"]);
    must(vmNameOf(stage, pod) === name, "the pod got another VM than the one that waited");
    await stage.endPod(pod);
    const left = await stage.cloud.list({ tags: {}, names: [name], after: undefined }, never);
    must(left.vms.length === 0, "a VM that a pod has used is still there");
    await emptyPool(stage, keeping);
  },
};

const KILLED: Case = {
  name: "a control plane that is killed leaves the VMs that wait to the next, which gives them to pods",
  stage: { limit: 2 },
  async run(stage) {
    const first = stage.control(POOL);
    const name = await waitingVm(stage);
    await first.kill("SIGKILL");
    await stage.cloud.settings({ bootDelayMs: ENDLESS_BOOT_MS }, never);
    const second = stage.control(POOL);
    const pod = await stage.runPod();
    must(vmNameOf(stage, pod) === name, "the pod got another VM than the one that waited");
    await stage.endPod(pod);
    await emptyPool(stage, second);
  },
};

export const POOL_CASES: readonly Case[] = [TAKEN, KILLED];
