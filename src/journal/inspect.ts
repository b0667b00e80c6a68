import { DatabaseSync } from "node:sqlite";
import { describeError, journalFailed } from "../errors/index.ts";
import { decodePool, type PoolRecord } from "./pool.ts";
import { decodeSandbox, decodeVm, readRows, type SandboxRecord, type VmRecord } from "./records.ts";
import { type SetAside, unreadableRows } from "./set-aside.ts";

/** A journal as a person looks at it. Secrets print as such. */
export interface JournalReport {
  readonly layout: number;
  readonly meta: Readonly<Record<string, string>>;
  readonly sandboxes: readonly SandboxRecord[];
  readonly vms: readonly VmRecord[];
  /** VMs that are made ahead of their pods. */
  readonly pool: readonly PoolRecord[];
  /** One sentence each: damage, rows that cannot be read, and rows that contradict one another. */
  readonly problems: readonly string[];
}

/** Reads a journal without changing it; its owner may be running. Throws `journal` when it cannot be read at all. */
export function inspectJournal(path: string): JournalReport {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { readOnly: true, timeout: 5000 });
    return report(db);
  } catch (cause) {
    throw journalFailed(`the journal ${path} cannot be read: ${describeError(cause)}`, { cause });
  } finally {
    db?.close();
  }
}

function report(db: DatabaseSync): JournalReport {
  const damage = db
    .prepare("PRAGMA integrity_check(10)")
    .all()
    .map((row) => String(row["integrity_check"]))
    .filter((text) => text !== "ok");
  const rowsOf = (table: "sandboxes" | "vms" | "pool") =>
    db.prepare(`SELECT * FROM ${table} ORDER BY created_ms`).all();
  const hasPool = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'pool'").get() !== undefined;
  const rows = { sandboxes: rowsOf("sandboxes"), vms: rowsOf("vms"), pool: hasPool ? rowsOf("pool") : [] };
  const sandboxes = readRows(rows.sandboxes, decodeSandbox);
  const vms = readRows(rows.vms, decodeVm);
  const setAside = (["sandboxes", "vms", "pool"] as const).flatMap((table) =>
    unreadableRows(table, rows[table]),
  );
  const meta = db.prepare("SELECT key, value FROM meta").all();
  return {
    layout: Number(db.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0),
    meta: Object.fromEntries(meta.map((row) => [String(row["key"]), String(row["value"])])),
    sandboxes,
    vms,
    pool: readRows(rows.pool, decodePool),
    problems: [
      ...damage,
      ...setAside.map(({ problem }) => problem),
      ...contradictions(sandboxes, vms, setAside),
    ],
  };
}

/** What cannot be read is no contradiction. */
function contradictions(
  sandboxes: readonly SandboxRecord[],
  vms: readonly VmRecord[],
  setAside: readonly SetAside[],
): string[] {
  const ids = new Set(sandboxes.map((sandbox) => sandbox.id));
  const unread = new Set(setAside.flatMap(({ key, vmName }) => [key, vmName]));
  for (const key of unread) ids.add(key);
  return [
    ...sandboxes
      .filter(({ phase, vmName }) => phase === "running" && !unread.has(vmName))
      .filter((sandbox) => !vms.some((vm) => vm.sandboxId === sandbox.id))
      .map((sandbox) => `sandbox ${sandbox.id} is running without a VM`),
    ...vms
      .filter((vm) => vm.phase !== "deleting" && (vm.sandboxId === undefined || !ids.has(vm.sandboxId)))
      .map((vm) => `VM ${vm.name} belongs to no sandbox`),
  ];
}
