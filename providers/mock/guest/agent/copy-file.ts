import { constants } from "node:fs";
import { chmod, chown, lchown, lstat, mkdir, open, realpath, rename, rm, symlink } from "node:fs/promises";
import { join, relative } from "node:path";
import { describeError, internal, invalidRequest } from "../../../../src/errors/index.ts";
import type { CopyFileRequest } from "../../../../src/gen/agent/agent.ts";

// What the kata agent does with CopyFile: kata-containers src/agent/src/rpc.rs, do_copy_file.

/** The only folder that CopyFile may write below. */
export const SHARED_DIR = "/run/kata-containers/shared/containers";

const TYPE_BITS = 0o170000;
const DIRECTORY = 0o040000;
const SYMLINK = 0o120000;
const FOLDER_MODE_BITS = 0o777;
const FILE_MODE_BITS = 0o7777;

export interface CopyFileDeps {
  /** Where SHARED_DIR is for this guest. */
  readonly sharedDir: string;
  /** Whether owners can be set. */
  readonly privileged: boolean;
}

/**
 * Places a piece of a file, a symbolic link or a directory below the shared folder. A file appears under its name, all
 * at once, when it has `fileSize` bytes. Throws `internal`, or `invalid-request` for a path that leaves the folder.
 */
export async function copyFile(deps: CopyFileDeps, request: CopyFileRequest): Promise<void> {
  const parts = pathBelow(request.path);
  try {
    const name = parts.pop();
    const folder = await makeFolders(deps, parts, request);
    if (name === undefined) return;
    await placeAt(deps, join(folder, name), request);
  } catch (cause) {
    throw internal(`cannot copy ${request.path}: ${describeError(cause)}`, { cause });
  }
}

function pathBelow(path: string): string[] {
  const below = path.startsWith(`${SHARED_DIR}/`) ? path.slice(SHARED_DIR.length + 1) : undefined;
  const parts = below?.split("/").filter((part) => part !== "" && part !== ".");
  if (parts === undefined || parts.length === 0 || parts.includes("..")) {
    throw invalidRequest(`CopyFile to ${JSON.stringify(path)}: files go below ${SHARED_DIR}`);
  }
  return parts;
}

async function makeFolders(
  deps: CopyFileDeps,
  parts: readonly string[],
  request: CopyFileRequest,
): Promise<string> {
  await mkdir(deps.sharedDir, { recursive: true });
  const root = await realpath(deps.sharedDir);
  let folder = root;
  for (const part of parts) {
    const next = join(folder, part);
    const found = await lstat(next).catch(() => undefined);
    if (found === undefined) await mkdir(next, { mode: request.dirMode & FOLDER_MODE_BITS });
    folder = found?.isSymbolicLink() === true ? await realpath(next) : next;
    // A link may point anywhere below the shared folder, not out of it.
    if (relative(root, folder).startsWith("..")) throw invalidRequest(`${next} leads out of ${SHARED_DIR}`);
  }
  if (folder !== root) await own(deps, folder, request);
  return folder;
}

async function placeAt(deps: CopyFileDeps, target: string, request: CopyFileRequest): Promise<void> {
  const type = request.fileMode & TYPE_BITS;
  if (type === DIRECTORY) {
    const found = await lstat(target).catch(() => undefined);
    if (found !== undefined && !found.isDirectory()) await rm(target);
    await mkdir(target, { recursive: true });
    await own(deps, target, request);
    await chmod(target, request.fileMode & FILE_MODE_BITS);
    return;
  }
  if (request.offset === 0n) await rm(target, { recursive: true, force: true });
  if (type === SYMLINK) {
    await symlink(Buffer.from(request.data), target);
    if (deps.privileged) await lchown(target, request.uid, request.gid);
    return;
  }
  await writePiece(deps, target, request);
}

async function writePiece(deps: CopyFileDeps, target: string, request: CopyFileRequest): Promise<void> {
  const temporary = `${target}.copying`;
  const fresh = request.offset === 0n ? constants.O_TRUNC : 0;
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | fresh;
  {
    await using file = await open(temporary, flags, 0o600);
    const data = Buffer.from(request.data);
    let written = 0;
    while (written < data.length) {
      const at = Number(request.offset) + written;
      written += (await file.write(data, written, data.length - written, at)).bytesWritten;
    }
    if ((await file.stat()).size !== Number(request.fileSize)) return;
  }
  await own(deps, temporary, request);
  await chmod(temporary, request.fileMode & FILE_MODE_BITS);
  await rename(temporary, target);
}

async function own(deps: CopyFileDeps, path: string, request: CopyFileRequest): Promise<void> {
  if (deps.privileged) await chown(path, request.uid, request.gid);
}
