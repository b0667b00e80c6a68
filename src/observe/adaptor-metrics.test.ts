import { expect, test } from "vitest";
import { VirtualClock } from "../../test/fakes/clock/index.ts";
import { KINDS } from "../errors/index.ts";
import type { JournalCounts } from "../journal/index.ts";
import { silentLog } from "../platform/index.ts";
import { AdaptorMetrics, type OwnerSources } from "./adaptor-metrics.ts";
import { ADAPTOR, ADAPTOR_SPECS } from "./adaptor-specs.ts";

const pod = { sandboxId: "s1", podNamespace: "default", podName: "web", podUid: "u" };
const counts: JournalCounts = {
  sandboxes: new Map([["running", 2]]),
  vms: new Map([["deleting", 1]]),
  pool: new Map(),
  deletesFailing: 1,
  slotsUsed: 3,
  databaseBytes: 4096,
  logBytes: 0,
};

function adaptor() {
  const clock = new VirtualClock();
  const metrics = new AdaptorMetrics({
    clock,
    log: silentLog,
    programVersion: "1.2.3",
    provider: "mock",
  });
  const lines = async (): Promise<string[]> =>
    (await metrics.render()).split("\n").filter((line) => line.startsWith("peerpods_"));
  return { clock, metrics, lines };
}

const owned: OwnerSources = {
  epoch: 7,
  limit: () => 10,
  journal: () => counts,
  proxy: () => ({ attached: false, counts: undefined }),
};

test("a standby says so, and tells nothing of a node that is not its own", async () => {
  const { lines } = adaptor();
  const text = await lines();
  expect(text).toContain("peerpods_owner 0");
  expect(
    text.filter((line) => /^peerpods_(sandboxes|vms|links|shim_proxy|owner_epoch)[{ ]/.test(line)),
  ).toEqual([]);
});

test("an owner tells its pods and VMs by state, zeros included, and no longer when it is none", async () => {
  const { metrics, lines } = adaptor();
  const disown = metrics.own(owned);
  const text = await lines();
  expect(text).toEqual(
    expect.arrayContaining([
      "peerpods_owner 1",
      "peerpods_owner_epoch 7",
      'peerpods_sandboxes{state="running"} 2',
      'peerpods_sandboxes{state="failed"} 0',
      'peerpods_vms{state="deleting"} 1',
      "peerpods_vm_slots_used 3",
      "peerpods_vm_slots_limit 10",
      "peerpods_vm_deletes_failing 1",
      "peerpods_shim_proxy_attached 0",
    ]),
  );
  disown();
  expect(await lines()).toContain("peerpods_owner 0");
});

test("without a limit there is none to show", async () => {
  const { metrics, lines } = adaptor();
  metrics.own({ ...owned, limit: () => -1 });
  expect((await lines()).filter((line) => line.startsWith("peerpods_vm_slots_limit"))).toEqual([]);
});

test("a failed call of a shim is a refusal by its kind, a failed step is not", async () => {
  const { metrics, lines } = adaptor();
  const failed = { kind: "failed", pod, vmName: "v", durationMs: 5 } as const;
  metrics.onNotice({ ...failed, step: "create", error: { kind: "limit", message: "full" } });
  metrics.onNotice({ ...failed, step: "vm.create", error: { kind: "quota", message: "full" } });
  const text = await lines();
  expect(text).toContain('peerpods_refusals_total{kind="limit"} 1');
  expect(text).toContain('peerpods_refusals_total{kind="quota"} 0');
  expect(text).toContain('peerpods_step_failures_total{step="vm.create",kind="quota"} 1');
});

test("no pod, VM or sandbox is named by any of them", async () => {
  const { metrics } = adaptor();
  const about = { pod, vmName: "podvm-web", durationMs: 5 };
  metrics.onNotice({ kind: "done", step: "create", ...about });
  metrics.onNotice({ kind: "failed", step: "start", ...about, error: { kind: "internal", message: "web" } });
  metrics.onNotice({ kind: "orphan", vmName: "podvm-web", sandboxId: "s1", action: "deleted" });
  metrics.onNotice({ kind: "vm-gone", vmName: "podvm-web", sandboxId: "s1", reason: "web" });
  metrics.onNotice({ kind: "abandoned", sandboxId: "s1", reason: "web" });
  metrics.onNotice({ kind: "loss", sandboxId: "s1", loss: "call", detail: "web" });
  const text = await metrics.render();
  expect(text).not.toMatch(/web|"s1"/);
  expect(text).toMatch(/peerpods_orphans_reaped_total\{action="deleted"\} 1/);
});

test("the quota is asked for behind a scrape, and not again before five minutes have gone by", async () => {
  const { metrics, lines, clock } = adaptor();
  let asked = 0;
  const quota = async (): Promise<number> => 40 + asked++;
  metrics.own({ ...owned, quota });
  expect((await lines()).filter((line) => line.startsWith("peerpods_cloud_quota"))).toEqual([]);
  expect(await lines()).toContain("peerpods_cloud_quota_vms_left 40");
  await clock.sleep(301_000);
  await lines();
  expect(await lines()).toContain("peerpods_cloud_quota_vms_left 41");
  expect(asked).toBe(2);
});

test("every kind of error can be told as a refusal from the start", () => {
  expect([...ADAPTOR.refusals.each].toSorted()).toEqual(Object.keys(KINDS).toSorted());
});

test("names follow Prometheus' rules, and each is declared once", () => {
  const names = ADAPTOR_SPECS.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const { name, kind } of ADAPTOR_SPECS) {
    expect(name).toMatch(/^peerpods_[a-z_]+$/);
    expect(name.endsWith("_total")).toBe(kind === "counter");
  }
});
