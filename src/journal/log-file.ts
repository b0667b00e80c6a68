import { closeSync, fsync, openSync } from "node:fs";
import { promisify } from "node:util";

const syncFile = promisify(fsync);

/**
 * SQLite's write-ahead log, brought to the disk by us: SQLite itself does that at each commit or not at all, and holds up the
 * process meanwhile. Here it is done beside all else, and once for all who wait.
 */
export class LogFile {
  readonly #fd: number;
  readonly #onSynced: () => void;
  #commits = 0;
  #synced = 0;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  private constructor(fd: number, onSynced: () => void) {
    this.#fd = fd;
    this.#onSynced = onSynced;
  }

  /**
   * A descriptor of our own: SQLite's locks are on the database and its -shm file, so closing it drops none of them. `onSynced`
   * is called after each sync, before those who wait for it.
   */
  static open(path: string, onSynced: () => void): LogFile {
    return new LogFile(openSync(path, "r+"), onSynced);
  }

  /** A commit was written. */
  written(): void {
    this.#commits++;
  }

  get isSynced(): boolean {
    return this.#synced === this.#commits;
  }

  /** Resolves when all commits so far are on the disk. */
  sync(): Promise<void> {
    // One that runs has perhaps begun before the last commit.
    this.#next ??= this.#afterRunning();
    return this.#next;
  }

  async #afterRunning(): Promise<void> {
    await this.#running?.catch(() => undefined); // Told to those who waited for it.
    this.#running = this.#next;
    this.#next = undefined;
    const commits = this.#commits;
    await syncFile(this.#fd);
    this.#synced = Math.max(this.#synced, commits);
    this.#onSynced();
  }

  close(): void {
    const running = this.#next ?? this.#running ?? Promise.resolve();
    void running.catch(() => undefined).then(() => closeSync(this.#fd));
  }
}
