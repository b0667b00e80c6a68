import type { SQLOutputValue } from "node:sqlite";
import { describeError } from "../errors/index.ts";
import { decodePool } from "./pool.ts";
import { decodeSandbox, decodeVm } from "./records.ts";
import type { Store } from "./store.ts";

type Row = Record<string, SQLOutputValue>;

/** A row that this release cannot read: damaged, or a later release's. It holds its slot, and nobody acts on it unasked. */
export interface SetAside {
  readonly table: "sandboxes" | "vms" | "pool";
  /** The sandbox's id, or the VM's name. */
  readonly key: string;
  readonly vmName: string;
  /** What is wrong, and what to do. */
  readonly problem: string;
  readonly createdMs: number;
}

const TABLES = {
  sandboxes: { decode: decodeSandbox, key: "id", vmName: "vm_name" },
  vms: { decode: decodeVm, key: "name", vmName: "name" },
  pool: { decode: decodePool, key: "name", vmName: "name" },
} as const;

/** The rows of one table that cannot be read. */
export function unreadableRows(table: SetAside["table"], rows: readonly Row[]): SetAside[] {
  const { decode, key, vmName } = TABLES[table];
  return rows.flatMap((row) => {
    try {
      decode(row);
      return [];
    } catch (error) {
      const problem = describeError(error);
      const createdMs = Number(row["created_ms"]);
      return [{ table, key: String(row[key]), vmName: String(row[vmName]), problem, createdMs }];
    }
  });
}

/** What can be said of rows whether they can be read or not. */
export class SetAsideRows {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Those that cannot be read, for people. */
  list(): SetAside[] {
    return (["sandboxes", "vms", "pool"] as const).flatMap((table) =>
      unreadableRows(table, this.#store.all(`SELECT * FROM ${table} ORDER BY created_ms`)),
    );
  }

  /** Throws `journal` when the row of that sandbox, or of its VM, is there and cannot be read. */
  check(sandboxId: string): void {
    const sandbox = this.#store.get("SELECT * FROM sandboxes WHERE id = ?", sandboxId);
    if (sandbox !== undefined) decodeSandbox(sandbox);
    const vm = this.#store.get("SELECT * FROM vms WHERE sandbox_id = ?", sandboxId);
    if (vm !== undefined) decodeVm(vm);
  }

  /** Whether there is a row of that sandbox, readable or not. */
  hasSandbox(id: string): boolean {
    return this.#store.get("SELECT 1 FROM sandboxes WHERE id = ?", id) !== undefined;
  }

  /** Of all VMs that there are rows of, the pool's included, readable or not. */
  vmNames(): ReadonlySet<string> {
    const rows = this.#store.all("SELECT name FROM vms UNION ALL SELECT name FROM pool");
    return new Set(rows.map(({ name }) => String(name)));
  }
}
