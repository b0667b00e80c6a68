import type { DatabaseSync } from "node:sqlite";
import { journalFailed } from "../errors/index.ts";
import type { Clock } from "../platform/index.ts";
import type {
  JournalCounts,
  JournalOptions,
  MetaKey,
  Preparation,
  Reservation,
  ReserveOutcome,
  Usage,
} from "./operations.ts";
import { PoolJournal } from "./pool.ts";
import { freeVxlanId, type PodVmRecord, readCounts, readPodVms, readUsage } from "./queries.ts";
import {
  decodeSandbox,
  decodeVm,
  type RecordedFailure,
  readRow,
  readRows,
  type SandboxRecord,
  type VmRecord,
} from "./records.ts";
import { SetAsideRows } from "./set-aside.ts";
import { Store } from "./store.ts";

/**
 * What the adaptor has begun, on disk before it is done. SQLite, WAL: what a method has returned from survives this process; what
 * was written before `durable` was called, and that has resolved, survives a power cut. Every method throws a `journal` error when the
 * disk or the file fails.
 */
export class Journal {
  readonly #store: Store;
  readonly #clock: Clock;
  /** VMs that are made ahead of their pods. */
  readonly pool: PoolJournal;
  /** Rows that cannot be read: all that reads is as if they were not there, and they keep their slots. */
  readonly setAside: SetAsideRows;

  private constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    this.pool = new PoolJournal(store, clock);
    this.setAside = new SetAsideRows(store);
  }

  /** Opens or creates `<stateDir>/journal.db`. The caller holds the owner lock. */
  static open(options: JournalOptions): Journal {
    return new Journal(Store.open(options), options.clock);
  }

  close(): void {
    this.#store.close();
  }

  /**
   * Resolves when all that was written so far is on the disk itself, and what was to be wiped is not. To be awaited before anything
   * outside this process is touched, which src/adaptor/durable-first.ts does for all of it.
   */
  durable(): Promise<void> {
    return this.#store.durable();
  }

  /** The database itself, for tests that make it fail. */
  withDatabase = (use: (db: DatabaseSync) => void): void => this.#store.withDatabase(use);

  // ---- the owner's term -------------------------------------------------------------------------------------

  /**
   * The next epoch: higher than any that an earlier owner attached with. Seconds of the clock at least, so that a node
   * whose journal was lost is not locked out by a shim-proxy that remembers the lost one's epochs.
   */
  nextEpoch(): number {
    return this.#store.write("next-epoch", () => {
      const epoch = Math.max(Number(this.meta("epoch") ?? "0") + 1, Math.floor(this.#clock.wallMs() / 1000));
      this.#setMeta("epoch", String(epoch));
      return epoch;
    });
  }

  meta(key: string): string | undefined {
    const value = this.#store.get("SELECT value FROM meta WHERE key = ?", key)?.["value"];
    return typeof value === "string" ? value : undefined;
  }

  /** Remembers a fact of the node. */
  setMeta(key: MetaKey, value: string): void {
    this.#store.write(`set-${key.replace("_", "-")}`, () => this.#setMeta(key, value));
  }

  #setMeta(key: string, value: string): void {
    this.#store.run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", key, value);
  }

  /**
   * Before anything new is begun: SQLite goes on writing to a file that was deleted or moved, and no later control plane
   * would ever read of what is begun here.
   */
  #mustBeInPlace(): void {
    if (this.#store.isInPlace) return;
    throw journalFailed(
      `the journal ${this.#store.path} was deleted, moved or replaced while it was in use; no new VM is made, running pods go on. Put it back if you moved it; else drain the node and restart the adaptor, which begins a new one`,
    );
  }

  // ---- CreateVM ---------------------------------------------------------------------------------------------

  usage(): Usage {
    return readUsage(this.#store);
  }

  /**
   * Takes a slot, a VXLAN id and the VM's name for a new sandbox, all or nothing; with a VM of the pool, that VM's slot and name.
   * Where no slot is free, one more VM of the pool makes room.
   */
  reserve(r: Reservation): ReserveOutcome {
    this.#mustBeInPlace();
    return this.#store.write("reserve", () => {
      const usage = this.usage();
      // Where a lowered limit is under what there is, no VM of the pool becomes one more pod's.
      const kind = r.limit < 0 || usage.used <= r.limit ? r.poolKind : undefined;
      const pooled = kind === undefined ? undefined : this.pool.takeWithin(kind, r.id);
      if (pooled === undefined && r.limit >= 0 && usage.used >= r.limit)
        return r.mayYield ? this.#makeRoom(usage) : { outcome: "full", usage };
      const taken = this.#store.get("SELECT sandbox_id FROM vms WHERE name = ?", r.vmName);
      if (taken !== undefined && pooled === undefined) {
        const by = taken["sandbox_id"];
        return { outcome: "name-taken", byId: typeof by === "string" ? by : undefined };
      }
      const vxlanId = freeVxlanId(this.#store, r.vxlanMinId);
      const now = this.#clock.wallMs();
      this.#store.run(
        `INSERT INTO sandboxes (id, phase, pod_name, pod_namespace, netns, request_json, vxlan_id, vm_name, created_ms, changed_ms)
         VALUES (?, 'creating', ?, ?, ?, ?, ?, ?, ?, ?)`,
        ...[r.id, r.podName, r.podNamespace, r.netns, r.requestJson, vxlanId, pooled ?? r.vmName, now, now],
      );
      return { outcome: "reserved", vxlanId };
    });
  }

  #makeRoom(usage: Usage): ReserveOutcome {
    const yielding = this.pool.yieldingWithin();
    if (yielding === undefined || !this.pool.discardWithin(yielding.name)) return { outcome: "full", usage };
    const { name, vmId } = yielding;
    return { outcome: "full", usage: { ...usage, deleting: usage.deleting + 1 }, yielded: { name, vmId } };
  }

  /**
   * The sandbox's VM from the pool was of no use: it is to go, and the sandbox gets one of its own under `name`. Both count until
   * the first is gone, so the second is begun only when there is room for it.
   */
  replacePooledVm(id: string, name: string): void {
    this.#store.write("replace-pooled-vm", () => {
      const now = this.#clock.wallMs();
      this.#store.run(
        "UPDATE vms SET sandbox_id = NULL, phase = 'deleting', changed_ms = ? WHERE sandbox_id = ? AND user_data_due = 1",
        now,
        id,
      );
      this.#store.run("UPDATE sandboxes SET vm_name = ?, changed_ms = ? WHERE id = ?", name, now, id);
    });
  }

  /** A VM from the pool has been told which pod it is for. */
  userDataGiven(name: string): void {
    this.#store.write("user-data-given", () =>
      this.#store.run(
        "UPDATE vms SET user_data_due = 0, changed_ms = ? WHERE name = ?",
        this.#clock.wallMs(),
        name,
      ),
    );
  }

  created(id: string, p: Preparation): void {
    this.#store.write("created", () =>
      this.#store.run(
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
    this.#store.write("begin-start", () => {
      const now = this.#clock.wallMs();
      this.#store.run(
        "UPDATE sandboxes SET phase = 'starting', changed_ms = ? WHERE id = ? AND phase IN ('created', 'starting')",
        now,
        id,
      );
      this.#store.run(
        `INSERT OR IGNORE INTO vms (name, sandbox_id, provider, phase, tags_json, created_ms, changed_ms)
         VALUES (?, ?, ?, 'intended', ?, ?, ?)`,
        ...[vm.name, id, vm.provider, JSON.stringify(vm.tags), now, now],
      );
    });
  }

  /** Repeating it writes nothing. */
  vmIdKnown(name: string, vmId: string): void {
    if (this.vm(name)?.vmId === vmId) return;
    this.#store.write("vm-id-known", () =>
      this.#store.run(
        "UPDATE vms SET vm_id = ?, phase = CASE phase WHEN 'intended' THEN 'created' ELSE phase END, changed_ms = ? WHERE name = ?",
        ...[vmId, this.#clock.wallMs(), name],
      ),
    );
  }

  vmRunning(name: string, addresses: readonly string[]): void {
    this.#store.write("vm-running", () =>
      this.#store.run(
        "UPDATE vms SET addresses_json = ?, phase = 'running', changed_ms = ? WHERE name = ? AND phase != 'deleting'",
        ...[JSON.stringify(addresses), this.#clock.wallMs(), name],
      ),
    );
  }

  tunnelIntended(id: string, tunnelJson: string): void {
    this.#store.write("tunnel-intended", () =>
      this.#store.run(
        "UPDATE sandboxes SET tunnel_json = ?, changed_ms = ? WHERE id = ?",
        tunnelJson,
        this.#clock.wallMs(),
        id,
      ),
    );
  }

  tunnelGone(id: string): void {
    this.#store.write("tunnel-gone", () =>
      this.#store.run(
        "UPDATE sandboxes SET tunnel_json = NULL, changed_ms = ? WHERE id = ?",
        this.#clock.wallMs(),
        id,
      ),
    );
  }

  /** StartVM has succeeded; what only the VM needed (user data with the server key) is wiped. */
  running(id: string): void {
    this.#store.write("running", () =>
      this.#store.run(
        "UPDATE sandboxes SET phase = 'running', user_data = NULL, changed_ms = ? WHERE id = ? AND phase = 'starting'",
        ...[this.#clock.wallMs(), id],
      ),
    );
    this.#store.emptyLog();
  }

  /** StartVM has failed: the answer is kept, the VM is to go, the keys are wiped. */
  startFailed(id: string, failure: RecordedFailure): void {
    this.#store.write("start-failed", () => {
      const now = this.#clock.wallMs();
      this.#store.run(
        `UPDATE sandboxes SET phase = 'failed', failure_json = ?, user_data = NULL, client_key_pem = NULL, changed_ms = ?
         WHERE id = ? AND phase IN ('created', 'starting')`,
        ...[JSON.stringify(failure), now, id],
      );
      this.#store.run("UPDATE vms SET phase = 'deleting', changed_ms = ? WHERE sandbox_id = ?", now, id);
    });
    this.#store.emptyLog();
  }

  // ---- StopVM -----------------------------------------------------------------------------------------------

  /**
   * The sandbox, known or not, is to be stopped for good: a later CreateVM or StartVM of the id is refused. Its VM is to
   * go. Returns whether the sandbox was known.
   */
  recordStop(id: string): boolean {
    return this.#store.write("record-stop", () => {
      const now = this.#clock.wallMs();
      this.#store.run("INSERT OR IGNORE INTO stops (sandbox_id, stopped_ms) VALUES (?, ?)", id, now);
      this.#store.run(
        "UPDATE vms SET phase = 'deleting', changed_ms = ? WHERE sandbox_id = ? AND phase != 'deleting'",
        now,
        id,
      );
      return (
        this.#store.run(
          "UPDATE sandboxes SET phase = 'stopping', user_data = NULL, client_key_pem = NULL, changed_ms = ? WHERE id = ?",
          ...[now, id],
        ) > 0
      );
    });
  }

  /** A CreateVM whose caller left: as if it had never been asked, so without a tombstone. */
  undoCreate(id: string): void {
    this.#store.write("undo-create", () => {
      this.#store.run("UPDATE vms SET phase = 'deleting' WHERE sandbox_id = ?", id);
      this.#store.run(
        "UPDATE sandboxes SET phase = 'stopping', user_data = NULL, client_key_pem = NULL WHERE id = ?",
        id,
      );
    });
  }

  /** A VM of ours that no sandbox has is to go. */
  orphanFound(vm: {
    readonly name: string;
    readonly vmId: string;
    readonly provider: string;
    readonly tags: Readonly<Record<string, string>>;
  }): void {
    this.#store.write("orphan-found", () => {
      const now = this.#clock.wallMs();
      this.#store.run(
        `INSERT OR IGNORE INTO vms (name, provider, vm_id, phase, tags_json, created_ms, changed_ms)
         VALUES (?, ?, ?, 'deleting', ?, ?, ?)`,
        ...[vm.name, vm.provider, vm.vmId, JSON.stringify(vm.tags), now, now],
      );
    });
  }

  vmDeleteFailed(name: string, error: string): void {
    this.#store.write("vm-delete-failed", () =>
      this.#store.run(
        "UPDATE vms SET delete_attempts = delete_attempts + 1, last_error = ?, changed_ms = ? WHERE name = ?",
        ...[error, this.#clock.wallMs(), name],
      ),
    );
  }

  vmGone(name: string): void {
    this.#store.write("vm-gone", () => this.#store.run("DELETE FROM vms WHERE name = ?", name));
  }

  sandboxGone(id: string): void {
    this.#store.write("sandbox-gone", () => this.#store.run("DELETE FROM sandboxes WHERE id = ?", id));
    this.#store.emptyLog();
  }

  isStopped(id: string): boolean {
    return this.#store.get("SELECT 1 FROM stops WHERE sandbox_id = ?", id) !== undefined;
  }

  /** Forgets stops from before `beforeMs` (wall clock) of sandboxes that are gone. */
  forgetStops(beforeMs: number): void {
    this.#store.write("forget-stops", () =>
      this.#store.run(
        "DELETE FROM stops WHERE stopped_ms < ? AND sandbox_id NOT IN (SELECT id FROM sandboxes)",
        beforeMs,
      ),
    );
  }

  // ---- reading ----------------------------------------------------------------------------------------------

  sandbox(id: string): SandboxRecord | undefined {
    const row = this.#store.get("SELECT * FROM sandboxes WHERE id = ?", id);
    return row && readRow(row, decodeSandbox);
  }

  sandboxes(): SandboxRecord[] {
    return readRows(this.#store.all("SELECT * FROM sandboxes ORDER BY created_ms, id"), decodeSandbox);
  }

  vmOf(sandboxId: string): VmRecord | undefined {
    const row = this.#store.get("SELECT * FROM vms WHERE sandbox_id = ?", sandboxId);
    return row && readRow(row, decodeVm);
  }

  vm(name: string): VmRecord | undefined {
    const row = this.#store.get("SELECT * FROM vms WHERE name = ?", name);
    return row && readRow(row, decodeVm);
  }

  vms(): VmRecord[] {
    return readRows(this.#store.all("SELECT * FROM vms ORDER BY created_ms, name"), decodeVm);
  }

  /** VMs of sandboxes, as the cluster is told of them. */
  podVms(): PodVmRecord[] {
    return readPodVms(this.#store);
  }

  counts(): JournalCounts {
    return readCounts(this.#store, this.usage().used);
  }
}
