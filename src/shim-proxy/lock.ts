import { chmodSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { unavailable, wrongState } from "../errors/index.ts";

/** A lock that the kernel releases when the process ends, however it ends. */
export interface ProcessLock {
  release(): void;
}

/** SQLite's primary result codes for a database that another connection has locked (sqlite.org/rescode.html). */
const SQLITE_BUSY = 5;

/**
 * Takes an exclusive transaction on `file`, which nothing else in this process may open: closing any other descriptor
 * of it would drop the lock silently (POSIX record locks). Throws `wrong-state` when another process has it.
 */
export function takeLock(file: string): ProcessLock {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { timeout: 0 });
    database.exec("BEGIN EXCLUSIVE");
    chmodSync(file, 0o600);
  } catch (cause) {
    database?.close();
    if (isBusy(cause)) {
      throw wrongState(
        `another shim-proxy runs on this node (it holds ${file}); two cannot face the shims, so this one ends`,
        { cause },
      );
    }
    throw unavailable(`cannot take the lock ${file}; is its folder there and writable?`, { cause });
  }
  const held = database;
  return {
    release() {
      if (held.isOpen) held.close();
    },
  };
}

function isBusy(error: unknown): boolean {
  if (!(error instanceof Error) || !("errcode" in error)) return false;
  return typeof error.errcode === "number" && (error.errcode & 0xff) === SQLITE_BUSY;
}
