import { randomBytes } from "node:crypto";
import { chmodSync, lstatSync, renameSync, rmSync, statSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { describeError, tooLarge, unavailable } from "../errors/index.ts";

/** Bytes of a unix socket's path without its closing zero (unix(7), sun_path). */
export const MAX_SOCKET_PATH_BYTES = 107;

/** Connections that the kernel keeps for us while we are busy; the system's own limit may be lower. */
const BACKLOG = 4096;

/** Throws `too-large` when no unix socket can have this path. */
export function checkSocketPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes <= MAX_SOCKET_PATH_BYTES) return;
  throw tooLarge(
    `the socket path ${path} has ${bytes} bytes, the kernel takes ${MAX_SOCKET_PATH_BYTES}; use a shorter folder`,
  );
}

/** A name beside `path` that is never longer than it, for binding before the rename. */
export function temporaryName(path: string): string {
  return join(dirname(path), `.${randomBytes(3).toString("hex")}`);
}

/** Gives the socket bound under `temporary` its real name, over whatever was there, in one step. Mode 0600. */
export function moveIntoPlace(temporary: string, path: string): number {
  chmodSync(temporary, 0o600);
  const { ino } = statSync(temporary);
  renameSync(temporary, path);
  return ino;
}

/** Removes `path` if it is still the socket with this inode. */
export function removeIfOurs(path: string, ino: number): void {
  if (inodeOf(path) === ino) rmSync(path, { force: true });
}

const inodeOf = (path: string): number | undefined => lstatSync(path, { throwIfNoEntry: false })?.ino;

/**
 * A listening unix socket that was bound under a short name and renamed to its place, so that a client finds either the
 * old one or the new one, never none, and that closing the listener removes nothing (Node unlinks the name it bound).
 */
export class PlacedSocket {
  readonly path: string;
  readonly #server: Server;
  readonly #ino: number;

  private constructor(path: string, server: Server, ino: number) {
    this.path = path;
    this.#server = server;
    this.#ino = ino;
  }

  /** Throws `too-large` for a path that is too long and `unavailable` when the socket cannot be made. */
  static async place(path: string, onConnection: (socket: Socket) => void): Promise<PlacedSocket> {
    checkSocketPath(path);
    const temporary = temporaryName(path);
    const server = createServer(onConnection);
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen({ path: temporary, backlog: BACKLOG }, () => resolve());
      });
      return new PlacedSocket(path, server, moveIntoPlace(temporary, path));
    } catch (cause) {
      server.close();
      rmSync(temporary, { force: true });
      throw unavailable(`cannot place the socket ${path}: ${describeError(cause)}`, { cause });
    }
  }

  /** Whether `path` still leads here. */
  get inPlace(): boolean {
    return inodeOf(this.path) === this.#ino;
  }

  /** Stops listening; removes the name if it is still ours. Connections live on. */
  remove(): void {
    removeIfOurs(this.path, this.#ino);
    this.#server.close();
  }
}
