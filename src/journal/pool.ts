import type { SQLOutputValue } from "node:sqlite";
import * as v from "valibot";
import type { Clock } from "../platform/index.ts";
import { parseRow, readRows } from "./records.ts";
import type { Store } from "./store.ts";

/**
 * Where a VM of the warm pool is: `intended`, a create may be under way or may have happened; `created`, the cloud told its
 * id; `waiting`, it has booted and waits for a pod.
 */
export type PoolPhase = "intended" | "created" | "waiting";

/** A VM that is made ahead of its pod. It has no sandbox, and no pod's data was ever in it. */
export interface PoolRecord {
  readonly name: string;
  /** Which pods it suits, in a form that the sandbox folder owns. */
  readonly kind: string;
  readonly provider: string;
  readonly vmId: string | undefined;
  readonly phase: PoolPhase;
  readonly tags: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  readonly createdMs: number;
}

const poolRow = v.object({
  name: v.string(),
  kind: v.string(),
  provider: v.string(),
  vm_id: v.nullable(v.string()),
  phase: v.picklist(["intended", "created", "waiting"]),
  tags_json: v.pipe(v.string(), v.parseJson(), v.record(v.string(), v.string())),
  addresses_json: v.nullable(v.pipe(v.string(), v.parseJson(), v.array(v.string()))),
  created_ms: v.number(),
});

/** Throws `journal` when the row makes no sense. */
export function decodePool(row: Record<string, SQLOutputValue>): PoolRecord {
  const r = parseRow("pool", poolRow, row);
  return {
    name: r.name,
    kind: r.kind,
    provider: r.provider,
    vmId: r.vm_id ?? undefined,
    phase: r.phase,
    tags: r.tags_json,
    addresses: r.addresses_json ?? [],
    createdMs: r.created_ms,
  };
}

/** A VM of the pool that is to be made. */
export interface PoolIntent {
  readonly name: string;
  readonly kind: string;
  readonly provider: string;
  readonly tags: Readonly<Record<string, string>>;
  /** Most pod VMs of this node; negative: any number. */
  readonly limit: number;
}

/**
 * The warm pool's part of the journal. It has a table of its own: an earlier release, which knows no pool, then neither counts
 * its VMs nor keeps them, and its reaper deletes them by their tags.
 */
export class PoolJournal {
  readonly #store: Store;
  readonly #clock: Clock;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  vms(): PoolRecord[] {
    return readRows(this.#store.all("SELECT * FROM pool ORDER BY created_ms, name"), decodePool);
  }

  size(): number {
    return Number(this.#store.get("SELECT count(*) AS n FROM pool")?.["n"] ?? 0);
  }

  /** Takes a slot for a VM of the pool; false when there is none. `usedSlots` counts within the same transaction. */
  intend(vm: PoolIntent, usedSlots: () => number): boolean {
    return this.#store.write("pool-intend", () => {
      if (vm.limit >= 0 && usedSlots() >= vm.limit) return false;
      this.#store.run(
        "INSERT INTO pool (name, kind, provider, phase, tags_json, created_ms) VALUES (?, ?, ?, 'intended', ?, ?)",
        ...[vm.name, vm.kind, vm.provider, JSON.stringify(vm.tags), this.#clock.wallMs()],
      );
      return true;
    });
  }

  idKnown(name: string, vmId: string): void {
    this.#store.write("pool-id-known", () => {
      this.#store.run(
        "UPDATE pool SET vm_id = ?, phase = CASE phase WHEN 'intended' THEN 'created' ELSE phase END WHERE name = ?",
        vmId,
        name,
      );
      // It may have left the pool to be deleted before the cloud told its id.
      this.#store.run("UPDATE vms SET vm_id = ? WHERE name = ? AND vm_id IS NULL", vmId, name);
    });
  }

  waiting(name: string, addresses: readonly string[]): void {
    this.#store.write("pool-waiting", () =>
      this.#store.run(
        "UPDATE pool SET phase = 'waiting', addresses_json = ? WHERE name = ?",
        JSON.stringify(addresses),
        name,
      ),
    );
  }

  /** The VM leaves the pool to be deleted, and keeps its slot until it is gone. False when it is not (any more) in the pool. */
  discard(name: string): boolean {
    return this.#store.write("pool-discard", () => this.discardWithin(name));
  }

  /** As `discard`, within the caller's transaction. */
  discardWithin(name: string): boolean {
    const now = this.#clock.wallMs();
    const moved = this.#store.run(
      `INSERT OR IGNORE INTO vms (name, provider, vm_id, phase, tags_json, addresses_json, created_ms, changed_ms)
       SELECT name, provider, vm_id, 'deleting', tags_json, addresses_json, created_ms, ? FROM pool WHERE name = ?`,
      now,
      name,
    );
    this.#store.run("DELETE FROM pool WHERE name = ?", name);
    return moved > 0;
  }

  /**
   * Gives a waiting VM of that kind to a sandbox, within the caller's transaction: the oldest. Its user data is due from then
   * on. Returns its name, undefined when none waits.
   */
  takeWithin(kind: string, sandboxId: string): string | undefined {
    const found = this.#store.get(
      `SELECT name FROM pool WHERE kind = ? AND phase = 'waiting' AND name NOT IN (SELECT name FROM vms)
       ORDER BY created_ms, name LIMIT 1`,
      kind,
    )?.["name"];
    if (typeof found !== "string") return undefined;
    this.#store.run(
      `INSERT INTO vms (name, sandbox_id, provider, vm_id, phase, tags_json, addresses_json, user_data_due, created_ms, changed_ms)
       SELECT name, ?, provider, vm_id, 'running', tags_json, addresses_json, 1, created_ms, ? FROM pool WHERE name = ?`,
      ...[sandboxId, this.#clock.wallMs(), found],
    );
    this.#store.run("DELETE FROM pool WHERE name = ?", found);
    return found;
  }

  /** Drops those that an earlier release, which knows no pool, has journaled as VMs that are to be deleted. */
  dropDeleted(): void {
    const one = this.#store.get("SELECT 1 FROM pool WHERE name IN (SELECT name FROM vms) LIMIT 1");
    if (one === undefined) return;
    this.#store.write("pool-drop-deleted", () =>
      this.#store.run("DELETE FROM pool WHERE name IN (SELECT name FROM vms)"),
    );
  }

  /** The VM that should make room first: one that does not wait yet, else the youngest. */
  yieldingWithin(): PoolRecord | undefined {
    const rows = this.#store.all("SELECT * FROM pool ORDER BY phase = 'waiting', created_ms DESC, name");
    return readRows(rows, decodePool)[0];
  }
}
