import { closeSync, fsync, openSync } from "node:fs";
import { promisify } from "node:util";

const syncFile = promisify(fsync);

export interface LogFileOptions {
  /** Called after each sync, before those who wait for it. */
  readonly onSynced: () => void;
  /** Instead of fsync. */
  readonly sync?: ((fd: number) => Promise<void>) | undefined;
}

/**
 * SQLite's write-ahead log, brought to the disk by us: SQLite itself does that at each commit or not at all, and holds up the
 * process meanwhile. Here it is done beside all else, and once for all who wait.
 */
export class LogFile {
  readonly #fd: number;
  readonly #options: LogFileOptions;
  #commits = 0;
  #synced = 0;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  private constructor(fd: number, options: LogFileOptions) {
    this.#fd = fd;
    this.#options = options;
  }

  /** A descriptor of our own: SQLite's locks are on the database and its -shm file, so closing it drops none of them. */
  static open(path: string, options: LogFileOptions): LogFile {
    return new LogFile(openSync(path, "r+"), options);
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
    await (this.#options.sync ?? syncFile)(this.#fd);
    this.#synced = Math.max(this.#synced, commits);
    this.#options.onSynced();
  }

  close(): void {
    const running = this.#next ?? this.#running ?? Promise.resolve();
    void running.catch(() => undefined).then(() => closeSync(this.#fd));
  }
}
