import { chmodSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type SQLInputValue, type SQLOutputValue } from "node:sqlite";
import { type CaaError, isCaaError, journalFailed } from "../errors/index.ts";
import type { Clock } from "../platform/index.ts";
import { LogFile } from "./log-file.ts";
import type { JournalHook, JournalOptions, JournalWrite } from "./operations.ts";
import { migrate } from "./schema.ts";

/** How long a write waits for a process that looks into the journal. */
const BUSY_TIMEOUT_MS = 5000;

type Row = Record<string, SQLOutputValue>;

const nothing = (): void => undefined;

/** Tells one file from another that has taken its place; "" when there is none. */
function fileAt(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? "" : `${stat.dev}:${stat.ino}`;
}

/** The journal's file: how it is opened, read and written, whatever is in it. */
export class Store {
  readonly #db: DatabaseSync;
  readonly #hook: JournalHook;
  readonly #onWrite: (write: JournalWrite) => void;
  readonly #clock: Clock;
  readonly #file: string;
  readonly #log: LogFile;
  /** The log holds what is to be readable no more. */
  #isEmptyingDue = false;
  readonly path: string;

  private constructor(db: DatabaseSync, path: string, options: JournalOptions) {
    this.#db = db;
    this.path = path;
    this.#log = LogFile.open(`${path}-wal`, { onSynced: () => this.#onSynced(), sync: options.sync });
    this.#file = fileAt(path);
    this.#clock = options.clock;
    this.#hook = options.hook ?? nothing;
    this.#onWrite = options.onWrite ?? nothing;
  }

  /** Throws `journal` for a file that is damaged, or that a later release made unreadable for this one. */
  static open(options: JournalOptions): Store {
    const path = join(options.stateDir, "journal.db");
    let db: DatabaseSync | undefined;
    try {
      mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
      chmodSync(options.stateDir, 0o700);
      db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
      chmodSync(path, 0o600);
      db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON");
      const check = db.prepare("PRAGMA quick_check(1)").get()?.["quick_check"];
      if (check !== "ok") throw new Error(String(check));
      migrate(db);
      return new Store(db, path, options);
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
    this.#log.close();
    this.#db.close();
  }

  withDatabase(use: (db: DatabaseSync) => void): void {
    use(this.#db);
  }

  /** Whether the file is still in its place: what is written to a deleted one is lost at the next start. */
  get isInPlace(): boolean {
    return fileAt(this.path) === this.#file;
  }

  /** Bytes of the database's file, and of its write-ahead log. */
  get sizes(): { readonly databaseBytes: number; readonly logBytes: number } {
    const size = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    return { databaseBytes: size(this.path), logBytes: size(`${this.path}-wal`) };
  }

  /** Runs `fn` in a transaction: all of it is in the file afterwards, which survives this process, or nothing. */
  write<T>(operation: string, fn: () => T): T {
    this.#hook(operation, "before");
    const startMs = this.#clock.monotonicMs();
    let ok = false;
    try {
      const result = this.#transaction(operation, fn);
      ok = true;
      this.#log.written();
      this.#hook(operation, "after");
      return result;
    } finally {
      this.#onWrite({ ok, durationMs: this.#clock.monotonicMs() - startMs });
    }
  }

  /** Resolves when all that was written before is on the disk itself. Who waits meanwhile shares one sync. Throws `journal`. */
  async durable(): Promise<void> {
    if (this.#log.isSynced && !this.#isEmptyingDue) return;
    const startMs = this.#clock.monotonicMs();
    let ok = false;
    try {
      await this.#log.sync();
      ok = true;
    } catch (cause) {
      throw this.#notWritten("sync", cause);
    } finally {
      this.#onWrite({ ok, durationMs: this.#clock.monotonicMs() - startMs });
    }
  }

  /**
   * Has the write-ahead log emptied, in which what a row held before can be read until then, by the next `durable`. Left for the
   * one after it when somebody reads the journal now, or its disk is full.
   */
  emptyLog(): void {
    this.#isEmptyingDue = true;
  }

  #onSynced(): void {
    if (!this.#isEmptyingDue || !this.#db.isOpen) return;
    this.#isEmptyingDue = false;
    try {
      this.#db.exec("PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE)");
    } catch {
      // What was written is safe in the log; the next one that is to be emptied is emptied of this too.
    } finally {
      this.#db.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    }
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
      throw this.#notWritten(operation, cause);
    }
  }

  #notWritten(operation: string, cause: unknown): CaaError {
    return journalFailed(
      `cannot write to the journal ${this.path} (${operation}); no new VM is made until it can be written. Check that its disk is not full or read-only`,
      { cause },
    );
  }

  /** Returns how many rows it changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#db.prepare(sql).run(...values).changes);
  }

  get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#db.prepare(sql).get(...values);
  }

  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#db.prepare(sql).all(...values);
  }
}
