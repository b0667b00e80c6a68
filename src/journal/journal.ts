import { chmodSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { isCaaError, journalFailed } from "../errors/index.ts";
import type { Clock } from "../platform/index.ts";
import type {
  JournalHook,
  JournalOptions,
  Preparation,
  Reservation,
  ReserveOutcome,
  Usage,
} from "./operations.ts";
import {
  decodeSandbox,
  decodeVm,
  type RecordedFailure,
  type SandboxRecord,
  type VmRecord,
} from "./records.ts";
import { migrate } from "./schema.ts";

/** VXLAN ids are 24 bits (RFC 7348). */
const MAX_VXLAN_ID = 2 ** 24 - 1;

/** Tells one file from another that has taken its place; "" when there is none. */
function fileAt(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? "" : `${stat.dev}:${stat.ino}`;
}

/**
 * What the adaptor has begun, on disk before it is done. SQLite, WAL, synchronous FULL: what a method has returned
 * from survives a power cut. Every method throws a `journal` error when the disk or the file fails.
 */
export class Journal {
  readonly #db: DatabaseSync;
  readonly #clock: Clock;
  readonly #hook: JournalHook;
  readonly #file: string;
  readonly path: string;

  private constructor(db: DatabaseSync, path: string, options: JournalOptions) {
    this.#db = db;
    this.path = path;
    this.#file = fileAt(path);
    this.#clock = options.clock;
    this.#hook = options.hook ?? (() => undefined);
  }

  /** Opens or creates `<stateDir>/journal.db`. The caller holds the owner lock. */
  static open(options: JournalOptions): Journal {
    const path = join(options.stateDir, "journal.db");
    let db: DatabaseSync | undefined;
    try {
      mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
      chmodSync(options.stateDir, 0o700);
      db = new DatabaseSync(path, { timeout: 5000 });
      chmodSync(path, 0o600);
      db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON");
      const check = db.prepare("PRAGMA quick_check(1)").get()?.["quick_check"];
      if (check !== "ok") throw new Error(String(check));
      migrate(db);
      return new Journal(db, path, options);
    } catch (cause) {
      db?.close();
      if (isCaaError(cause)) throw cause;
      throw journalFailed(
        `cannot open the journal ${path}; running pods go on without it. Check the disk, then run "cloud-api-adaptor journal check"; if it cannot be repaired, drain the node and move the file away`,
        { cause },
      );
    }
  }

  close(): void {
    this.#db.close();
  }

  /** The database itself, for tests that make it fail. */
  withDatabase(use: (db: DatabaseSync) => void): void {
    use(this.#db);
  }

  // ---- the owner's term -------------------------------------------------------------------------------------

  /**
   * The next epoch: higher than any that an earlier owner attached with. Seconds of the clock at least, so that a node
   * whose journal was lost is not locked out by a shim-proxy that remembers the lost one's epochs.
   */
  nextEpoch(): number {
    return this.#write("next-epoch", () => {
      const epoch = Math.max(Number(this.meta("epoch") ?? "0") + 1, Math.floor(this.#clock.wallMs() / 1000));
      this.#setMeta("epoch", String(epoch));
      return epoch;
    });
  }

  meta(key: string): string | undefined {
    const value = this.#get("SELECT value FROM meta WHERE key = ?", key)?.["value"];
    return typeof value === "string" ? value : undefined;
  }

  /** Remembers a fact of the node: the boot id, the shim-proxy's instance id. */
  setMeta(key: "boot_id" | "proxy_instance", value: string): void {
    this.#write(`set-${key.replace("_", "-")}`, () => this.#setMeta(key, value));
  }

  #setMeta(key: string, value: string): void {
    this.#run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", key, value);
  }

  /**
   * Before anything new is begun: SQLite goes on writing to a file that was deleted or moved, and no later control plane
   * would ever read of what is begun here.
   */
  #mustBeInPlace(): void {
    if (fileAt(this.path) === this.#file) return;
    throw journalFailed(
      `the journal ${this.path} was deleted, moved or replaced while it was in use; no new VM is made, running pods go on. Put it back if you moved it; else drain the node and restart the adaptor, which begins a new one`,
    );
  }

  // ---- CreateVM ---------------------------------------------------------------------------------------------

  usage(): Usage {
    const row = this.#get(
      `SELECT (SELECT count(*) FROM vms) + (SELECT count(*) FROM sandboxes WHERE phase IN ('creating', 'created')) AS used,
              (SELECT count(*) FROM vms WHERE phase = 'deleting') AS deleting`,
    );
    return { used: Number(row?.["used"] ?? 0), deleting: Number(row?.["deleting"] ?? 0) };
  }

  /** Takes a slot, a VXLAN id and the VM's name for a new sandbox, all or nothing. */
  reserve(r: Reservation): ReserveOutcome {
    this.#mustBeInPlace();
    return this.#write("reserve", () => {
      const usage = this.usage();
      if (r.limit >= 0 && usage.used >= r.limit) return { outcome: "full", usage };
      const taken = this.#get("SELECT sandbox_id FROM vms WHERE name = ?", r.vmName);
      if (taken !== undefined) {
        const by = taken["sandbox_id"];
        return { outcome: "name-taken", byId: typeof by === "string" ? by : undefined };
      }
      const vxlanId = this.#freeVxlanId(r.vxlanMinId);
      const now = this.#clock.wallMs();
      this.#run(
        `INSERT INTO sandboxes (id, phase, pod_name, pod_namespace, netns, request_json, vxlan_id, vm_name, created_ms, changed_ms)
         VALUES (?, 'creating', ?, ?, ?, ?, ?, ?, ?, ?)`,
        ...[r.id, r.podName, r.podNamespace, r.netns, r.requestJson, vxlanId, r.vmName, now, now],
      );
      return { outcome: "reserved", vxlanId };
    });
  }

  #freeVxlanId(minId: number): number {
    const used = new Set(this.#all("SELECT vxlan_id AS id FROM sandboxes").map((row) => row["id"]));
    for (let id = minId; id <= MAX_VXLAN_ID; id++) if (!used.has(id)) return id;
    throw journalFailed(`no VXLAN id from ${minId} to ${MAX_VXLAN_ID} is free`);
  }

  created(id: string, p: Preparation): void {
    this.#write("created", () =>
      this.#run(
        `UPDATE sandboxes SET phase = 'created', pod_uid = ?, network_json = ?, volumes_json = ?, server_name = ?, ca_pem = ?,
           client_cert_pem = ?, client_key_pem = ?, user_data = ?, changed_ms = ? WHERE id = ? AND phase = 'creating'`,
        p.podUid ?? null,
        p.networkJson,
        p.volumesJson,
        p.serverName,
        p.caPem ?? null,
        p.clientCertPem ?? null,
        p.clientKeyPem ?? null,
        p.userData,
        this.#clock.wallMs(),
        id,
      ),
    );
  }

  // ---- StartVM ----------------------------------------------------------------------------------------------

  /** The sandbox is starting and its VM is intended. Repeating it changes nothing. */
  beginStart(
    id: string,
    vm: { readonly name: string; readonly provider: string; readonly tags: Readonly<Record<string, string>> },
  ): void {
    this.#mustBeInPlace();
    this.#write("begin-start", () => {
      const now = this.#clock.wallMs();
      this.#run(
        "UPDATE sandboxes SET phase = 'starting', changed_ms = ? WHERE id = ? AND phase IN ('created', 'starting')",
        now,
        id,
      );
      this.#run(
        `INSERT OR IGNORE INTO vms (name, sandbox_id, provider, phase, tags_json, created_ms, changed_ms)
         VALUES (?, ?, ?, 'intended', ?, ?, ?)`,
        ...[vm.name, id, vm.provider, JSON.stringify(vm.tags), now, now],
      );
    });
  }

  vmIdKnown(name: string, vmId: string): void {
    this.#write("vm-id-known", () =>
      this.#run(
        "UPDATE vms SET vm_id = ?, phase = CASE phase WHEN 'intended' THEN 'created' ELSE phase END, changed_ms = ? WHERE name = ?",
        ...[vmId, this.#clock.wallMs(), name],
      ),
    );
  }

  vmRunning(name: string, addresses: readonly string[]): void {
    this.#write("vm-running", () =>
      this.#run(
        "UPDATE vms SET addresses_json = ?, phase = 'running', changed_ms = ? WHERE name = ? AND phase != 'deleting'",
        ...[JSON.stringify(addresses), this.#clock.wallMs(), name],
      ),
    );
  }

  tunnelIntended(id: string, tunnelJson: string): void {
    this.#write("tunnel-intended", () =>
      this.#run(
        "UPDATE sandboxes SET tunnel_json = ?, changed_ms = ? WHERE id = ?",
        tunnelJson,
        this.#clock.wallMs(),
        id,
      ),
    );
  }

  tunnelGone(id: string): void {
    this.#write("tunnel-gone", () =>
      this.#run(
        "UPDATE sandboxes SET tunnel_json = NULL, changed_ms = ? WHERE id = ?",
        this.#clock.wallMs(),
        id,
      ),
    );
  }

  /** StartVM has succeeded; what only the VM needed (user data with the server key) is wiped. */
  running(id: string): void {
    this.#write("running", () =>
      this.#run(
        "UPDATE sandboxes SET phase = 'running', user_data = NULL, changed_ms = ? WHERE id = ? AND phase = 'starting'",
        ...[this.#clock.wallMs(), id],
      ),
    );
  }

  /** StartVM has failed: the answer is kept, the VM is to go, the keys are wiped. */
  startFailed(id: string, failure: RecordedFailure): void {
    this.#write("start-failed", () => {
      const now = this.#clock.wallMs();
      this.#run(
        `UPDATE sandboxes SET phase = 'failed', failure_json = ?, user_data = NULL, client_key_pem = NULL, changed_ms = ?
         WHERE id = ? AND phase IN ('created', 'starting')`,
        ...[JSON.stringify(failure), now, id],
      );
      this.#run("UPDATE vms SET phase = 'deleting', changed_ms = ? WHERE sandbox_id = ?", now, id);
    });
  }

  // ---- StopVM -----------------------------------------------------------------------------------------------

  /**
   * The sandbox, known or not, is to be stopped for good: a later CreateVM or StartVM of the id is refused. Its VM is to
   * go. Returns whether the sandbox was known.
   */
  recordStop(id: string): boolean {
    return this.#write("record-stop", () => {
      const now = this.#clock.wallMs();
      this.#run("INSERT OR IGNORE INTO stops (sandbox_id, stopped_ms) VALUES (?, ?)", id, now);
      this.#run(
        "UPDATE vms SET phase = 'deleting', changed_ms = ? WHERE sandbox_id = ? AND phase != 'deleting'",
        now,
        id,
      );
      return (
        this.#run(
          "UPDATE sandboxes SET phase = 'stopping', user_data = NULL, client_key_pem = NULL, changed_ms = ? WHERE id = ?",
          ...[now, id],
        ) > 0
      );
    });
  }

  /** A CreateVM whose caller left: as if it had never been asked, so without a tombstone. */
  undoCreate(id: string): void {
    this.#write("undo-create", () =>
      this.#run(
        "UPDATE sandboxes SET phase = 'stopping', user_data = NULL, client_key_pem = NULL WHERE id = ?",
        id,
      ),
    );
  }

  /** A VM of ours that no sandbox has is to go. */
  orphanFound(vm: {
    readonly name: string;
    readonly vmId: string;
    readonly provider: string;
    readonly tags: Readonly<Record<string, string>>;
  }): void {
    this.#write("orphan-found", () => {
      const now = this.#clock.wallMs();
      this.#run(
        `INSERT OR IGNORE INTO vms (name, provider, vm_id, phase, tags_json, created_ms, changed_ms)
         VALUES (?, ?, ?, 'deleting', ?, ?, ?)`,
        ...[vm.name, vm.provider, vm.vmId, JSON.stringify(vm.tags), now, now],
      );
    });
  }

  vmDeleteFailed(name: string, error: string): void {
    this.#write("vm-delete-failed", () =>
      this.#run(
        "UPDATE vms SET delete_attempts = delete_attempts + 1, last_error = ?, changed_ms = ? WHERE name = ?",
        ...[error, this.#clock.wallMs(), name],
      ),
    );
  }

  vmGone(name: string): void {
    this.#write("vm-gone", () => this.#run("DELETE FROM vms WHERE name = ?", name));
  }

  sandboxGone(id: string): void {
    this.#write("sandbox-gone", () => this.#run("DELETE FROM sandboxes WHERE id = ?", id));
  }

  isStopped(id: string): boolean {
    return this.#get("SELECT 1 FROM stops WHERE sandbox_id = ?", id) !== undefined;
  }

  /** Forgets stops from before `beforeMs` (wall clock) of sandboxes that are gone. */
  forgetStops(beforeMs: number): void {
    this.#write("forget-stops", () =>
      this.#run(
        "DELETE FROM stops WHERE stopped_ms < ? AND sandbox_id NOT IN (SELECT id FROM sandboxes)",
        beforeMs,
      ),
    );
  }

  // ---- reading ----------------------------------------------------------------------------------------------

  sandbox(id: string): SandboxRecord | undefined {
    const row = this.#get("SELECT * FROM sandboxes WHERE id = ?", id);
    return row === undefined ? undefined : decodeSandbox(row);
  }

  sandboxes(): SandboxRecord[] {
    return this.#all("SELECT * FROM sandboxes ORDER BY created_ms, id").map(decodeSandbox);
  }

  vmOf(sandboxId: string): VmRecord | undefined {
    const row = this.#get("SELECT * FROM vms WHERE sandbox_id = ?", sandboxId);
    return row === undefined ? undefined : decodeVm(row);
  }

  vms(): VmRecord[] {
    return this.#all("SELECT * FROM vms ORDER BY created_ms, name").map(decodeVm);
  }

  // ---- SQLite -----------------------------------------------------------------------------------------------

  #write<T>(operation: string, fn: () => T): T {
    this.#hook(operation, "before");
    const result = this.#transaction(operation, fn);
    this.#hook(operation, "after");
    return result;
  }

  #transaction<T>(operation: string, fn: () => T): T {
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      try {
        const result = fn();
        this.#db.exec("COMMIT");
        return result;
      } catch (error) {
        if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
        throw error;
      }
    } catch (cause) {
      if (isCaaError(cause)) throw cause;
      throw journalFailed(
        `cannot write to the journal ${this.path} (${operation}); no new VM is made until it can be written. Check that its disk is not full or read-only`,
        { cause },
      );
    }
  }

  #run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#db.prepare(sql).run(...values).changes);
  }

  #get(sql: string, ...values: SQLInputValue[]) {
    return this.#db.prepare(sql).get(...values);
  }

  #all(sql: string, ...values: SQLInputValue[]) {
    return this.#db.prepare(sql).all(...values);
  }
}
