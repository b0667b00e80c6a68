import { expect, test } from "vitest";
import { silentLog, systemClock } from "../platform/index.ts";
import { ControllerMetrics } from "./controller-metrics.ts";

test("a controller tells what it saw last while it leads, and what it did", async () => {
  const metrics = new ControllerMetrics({
    clock: systemClock,
    log: silentLog,
    programVersion: "1.2.3",
    provider: "azure",
  });
  metrics.onNotice({ kind: "leader", isLeader: true });
  metrics.onNotice({ kind: "peer-pods", total: 9, deleting: 3, waiting: 2, living: 1 });
  metrics.onNotice({
    kind: "sweep",
    vms: 12,
    suspects: { "node-gone": 2, "node-out-of-service": 0, "pod-gone": 1, "pool-abandoned": 3 },
    due: 2,
    durationMs: 5,
  });
  metrics.onNotice({ kind: "sweep-failed", error: "no answer" });
  metrics.onNotice({ kind: "shim-proxies", total: 5, outdated: 2 });
  metrics.onNotice({ kind: "shim-proxy-replaced", nodeName: "n1" });
  metrics.onNotice({ kind: "peer-pod", action: "released", name: "apps/web" });
  metrics.onNotice({
    kind: "vm-delete",
    reason: "node-gone",
    outcome: "deleted",
    vmName: "v",
    durationMs: 61_000,
  });
  metrics.onNotice({ kind: "vm-delete", reason: "peer-pod", outcome: "refused", vmName: "v", durationMs: 0 });
  const lines = (await metrics.render()).split("\n");
  for (const line of [
    "peerpods_controller_leader 1",
    'peerpods_controller_peer_pods{state="other"} 6',
    'peerpods_controller_peer_pods{state="living"} 1',
    "peerpods_controller_vms 12",
    'peerpods_controller_suspect_vms{reason="node-gone"} 2',
    'peerpods_controller_sweeps_total{outcome="ok"} 1',
    'peerpods_controller_sweeps_total{outcome="failed"} 1',
    'peerpods_controller_shim_proxies{revision="outdated"} 2',
    "peerpods_controller_shim_proxies_replaced_total 1",
    'peerpods_controller_peer_pods_total{action="released"} 1',
    'peerpods_controller_peer_pods_total{action="failed"} 0',
    'peerpods_controller_vm_deletes_total{reason="node-gone",outcome="deleted"} 1',
    'peerpods_controller_vm_deletes_total{reason="peer-pod",outcome="refused"} 1',
    'peerpods_controller_vm_delete_duration_seconds_bucket{le="90"} 1',
    'peerpods_controller_vm_delete_duration_seconds_bucket{le="60"} 0',
  ])
    expect(lines).toContain(line);
  expect(lines.join("\n")).not.toContain("apps/web");
  metrics.onNotice({ kind: "leader", isLeader: false });
  const standby = await metrics.render();
  expect(standby).toContain("peerpods_controller_leader 0");
  expect(standby).not.toMatch(/^peerpods_controller_vms /m);
});
