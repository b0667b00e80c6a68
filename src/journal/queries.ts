import * as v from "valibot";
import { journalFailed } from "../errors/index.ts";
import type { JournalCounts, Usage } from "./operations.ts";
import { parseRow, readRows } from "./records.ts";
import type { Store } from "./store.ts";

/** VXLAN ids are 24 bits (RFC 7348). */
const MAX_VXLAN_ID = 2 ** 24 - 1;

/** The lowest VXLAN id from `minId` on that no sandbox has. Throws `journal` when there is none. */
export function freeVxlanId(store: Store, minId: number): number {
  // It is the lowest of all, or comes after one that is in use.
  const row = store.get(
    `SELECT min(id) AS id FROM (
       SELECT ?1 AS id WHERE NOT EXISTS (SELECT 1 FROM sandboxes WHERE vxlan_id = ?1)
       UNION ALL
       SELECT min(used.vxlan_id) + 1 FROM sandboxes AS used WHERE used.vxlan_id >= ?1
         AND NOT EXISTS (SELECT 1 FROM sandboxes WHERE vxlan_id = used.vxlan_id + 1))`,
    minId,
  );
  const id = Number(row?.["id"]);
  if (id <= MAX_VXLAN_ID) return id;
  throw journalFailed(`no VXLAN id from ${minId} to ${MAX_VXLAN_ID} is free`);
}

/** A VM of a sandbox, with as much of both as the cluster is told. */
export interface PodVmRecord {
  readonly sandboxId: string;
  /** Undefined: the sandbox is not in the journal any more. */
  readonly podName: string | undefined;
  readonly podNamespace: string | undefined;
  readonly podUid: string | undefined;
  readonly vmName: string;
  readonly vmId: string | undefined;
  /** For what only they tell. */
  readonly tags: Readonly<Record<string, string>>;
  readonly isDeleting: boolean;
}

const podVmRow = v.object({
  sandbox_id: v.string(),
  pod_name: v.nullable(v.string()),
  pod_namespace: v.nullable(v.string()),
  pod_uid: v.nullable(v.string()),
  name: v.string(),
  vm_id: v.nullable(v.string()),
  phase: v.string(),
  lone_tags: v.nullable(v.pipe(v.string(), v.parseJson(), v.record(v.string(), v.string()))),
});

/** Asked at every change of a node's VMs, so it reads no more of the rows than it tells. */
export function readPodVms(store: Store): PodVmRecord[] {
  const rows = store.all(
    `SELECT vms.sandbox_id, vms.name, vms.vm_id, vms.phase, s.pod_name, s.pod_namespace, s.pod_uid,
       CASE WHEN s.id IS NULL THEN vms.tags_json END AS lone_tags
     FROM vms LEFT JOIN sandboxes AS s ON s.id = vms.sandbox_id
     WHERE vms.sandbox_id IS NOT NULL AND vms.user_data_due = 0 ORDER BY vms.created_ms, vms.name`,
  );
  return readRows(rows, (row) => {
    const r = parseRow("vms", podVmRow, row);
    return {
      sandboxId: r.sandbox_id,
      podName: r.pod_name ?? undefined,
      podNamespace: r.pod_namespace ?? undefined,
      podUid: r.pod_uid ?? undefined,
      vmName: r.name,
      vmId: r.vm_id ?? undefined,
      tags: r.lone_tags ?? {},
      isDeleting: r.phase === "deleting",
    };
  });
}

/** A sandbox in a phase that this release does not know counts as one that waits for its VM. */
export function readUsage(store: Store): Usage {
  const row = store.get(
    `SELECT (SELECT count(*) FROM vms) + (SELECT count(*) FROM pool)
              + (SELECT count(*) FROM sandboxes WHERE phase NOT IN ('running', 'failed', 'stopping')
                   AND id NOT IN (SELECT sandbox_id FROM vms WHERE sandbox_id IS NOT NULL)) AS used,
            (SELECT count(*) FROM vms WHERE phase = 'deleting') AS deleting`,
  );
  return { used: Number(row?.["used"] ?? 0), deleting: Number(row?.["deleting"] ?? 0) };
}

export function readCounts(store: Store, slotsUsed: number): JournalCounts {
  const byPhase = (table: "sandboxes" | "vms" | "pool"): ReadonlyMap<string, number> => {
    const rows = store.all(`SELECT phase, count(*) AS n FROM ${table} GROUP BY phase`);
    return new Map(rows.map((row) => [String(row["phase"]), Number(row["n"])]));
  };
  const failing = "SELECT count(*) AS n FROM vms WHERE phase = 'deleting' AND delete_attempts > 0";
  return {
    sandboxes: byPhase("sandboxes"),
    vms: byPhase("vms"),
    pool: byPhase("pool"),
    deletesFailing: Number(store.get(failing)?.["n"] ?? 0),
    slotsUsed,
    ...store.sizes,
  };
}
