import { randomBytes } from "node:crypto";
import { chmodSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { connect, type Server } from "node:net";
import { basename, dirname, join } from "node:path";
import { describeError, invalidConfig } from "../errors/index.ts";
import { makeFolder } from "../platform/index.ts";

/** Ends the name of a socket that waits beside the path: `admin.sock.1f0c2a`. */
const SUFFIX = /^\.[0-9a-f]{6}$/;

/** Where a server listens. */
export interface PlacedSocket {
  /** Puts the socket at its path, whoever's is there. */
  take(): void;
  /** Removes what is ours. */
  remove(): void;
}

/**
 * Has the server listen at `path` unless another process answers there; then beside it, until `take`. So two processes that share
 * a folder (a standby and the owner) do not take the path from one another, and what a killed one left is replaced. Mode 0600 from
 * the first moment. Throws `invalid-config` when no socket can be made.
 */
export async function placeSocket(server: Server, path: string): Promise<PlacedSocket> {
  const beside = `${path}.${randomBytes(3).toString("hex")}`;
  makeFolder("PEERPODS_ADMIN_SOCKET", dirname(path));
  try {
    await removeLeftOvers(path);
    await listen(server, beside);
    chmodSync(beside, 0o600);
  } catch (cause) {
    server.close();
    throw invalidConfig(
      `PEERPODS_ADMIN_SOCKET: cannot listen at ${path}: ${describeError(cause)}; give a path in a folder that is writable`,
      { cause },
    );
  }
  const inode = inodeOf(beside);
  const take = (): void => {
    if (inodeOf(path) !== inode) renameSync(beside, path);
  };
  if (!(await isAnswered(path))) take();
  return {
    take,
    remove() {
      for (const place of [path, beside]) if (inodeOf(place) === inode) rmSync(place, { force: true });
    },
  };
}

const inodeOf = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.ino;

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** Of processes that were killed while they waited beside the path. */
async function removeLeftOvers(path: string): Promise<void> {
  const dir = dirname(path);
  const name = basename(path);
  for (const entry of readdirSync(dir)) {
    if (!entry.startsWith(name) || !SUFFIX.test(entry.slice(name.length))) continue;
    if (!(await isAnswered(join(dir, entry)))) rmSync(join(dir, entry), { force: true });
  }
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
