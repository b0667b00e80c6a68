import { chmodSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { journalFailed } from "../errors/index.ts";
import type { Clock } from "../platform/index.ts";

/** How often a standby tries to become the owner. */
const POLL_INTERVAL_MS = 100;
/** SQLite's result code for "somebody else holds the lock" (sqlite.org/rescode.html). */
const SQLITE_BUSY = 5;

/** The right to act on this node. The kernel takes it back when the process dies, however it dies. */
export interface OwnerLock {
  release(): void;
  /**
   * Whether the file that is locked is still the one that others would lock: false when it was removed or replaced, and
   * another process may think that it owns the node.
   */
  isSound(): boolean;
}

const inodeOf = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.ino;

const errorCodeOf = (error: unknown): number | undefined =>
  error instanceof Error && "errcode" in error && typeof error.errcode === "number"
    ? error.errcode
    : undefined;

/**
 * Takes the node's owner lock: an exclusive transaction on `<stateDir>/lock.db`, which nothing else in this process
 * may open (closing any other descriptor of the file would drop the lock silently: POSIX record locks). Returns
 * undefined while another process holds it.
 */
export function tryOwnerLock(stateDir: string): OwnerLock | undefined {
  const path = join(stateDir, "lock.db");
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { timeout: 0 });
    chmodSync(path, 0o600);
    db.exec("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE");
  } catch (cause) {
    db?.close();
    if (errorCodeOf(cause) === SQLITE_BUSY) return undefined;
    throw journalFailed(`cannot lock ${path}; check that the state directory is writable and not full`, {
      cause,
    });
  }
  const held = db;
  const inode = inodeOf(path);
  let released = false;
  return {
    isSound: () => !released && inodeOf(path) === inode,
    release() {
      if (released) return;
      released = true;
      held.close();
    },
  };
}

/** Waits until this process owns the node. `onWait` is called once if somebody else does. Rejects when aborted. */
export async function takeOwnerLock(
  deps: { readonly clock: Clock; readonly onWait: () => void },
  stateDir: string,
  signal: AbortSignal,
): Promise<OwnerLock> {
  let told = false;
  for (;;) {
    signal.throwIfAborted();
    const lock = tryOwnerLock(stateDir);
    if (lock !== undefined) return lock;
    if (!told) deps.onWait();
    told = true;
    await deps.clock.sleep(POLL_INTERVAL_MS, signal);
  }
}
