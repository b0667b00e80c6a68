import { constants, createReadStream } from "node:fs";
import { chmod, chown, lchown, link, lstat, mkdir, open, readdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { invalidRequest } from "../../../../src/errors/index.ts";
import type { Exec } from "../../../../src/platform/index.ts";
import { readTar, type TarEntry } from "./tar.ts";

// Layers and whiteouts: OCI image specification, layer.md.

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";

export interface UnpackDeps {
  readonly exec: Exec;
  /** Whether owners and device nodes can be made. */
  readonly privileged: boolean;
}

/** One compressed layer on disk. */
export interface Layer {
  readonly path: string;
  readonly mediaType: string;
}

function decompressed(layer: Layer): Readable {
  const file = createReadStream(layer.path);
  const through = layer.mediaType.endsWith("gzip")
    ? createGunzip()
    : layer.mediaType.endsWith("zstd")
      ? createZstdDecompress()
      : undefined;
  if (through === undefined) return file;
  file.on("error", (error) => through.destroy(error));
  return file.pipe(through);
}

/** Applies one layer to `rootfs`. Nothing is written outside of it, whatever links the layers hold. */
export async function applyLayer(deps: UnpackDeps, rootfs: string, layer: Layer): Promise<void> {
  const writtenHere = new Set<string>();
  for await (const { entry, content } of readTar(decompressed(layer))) {
    const parts = splitPath(entry.path);
    const name = parts.pop();
    if (name === undefined) {
      await finish(deps, rootfs, entry);
      continue;
    }
    const folder = await makeFolders(rootfs, parts);
    if (name === OPAQUE) await clearFolder(folder, writtenHere);
    else if (name.startsWith(WHITEOUT)) await remove(join(folder, name.slice(WHITEOUT.length)));
    else {
      const target = join(folder, name);
      await place(deps, { rootfs, target, entry }, content);
      writtenHere.add(target);
    }
  }
}

function splitPath(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw invalidRequest(`an image layer holds the path ${JSON.stringify(path)}`);
  return parts;
}

/** Makes the folders of `parts` and refuses to pass through a link. */
async function makeFolders(rootfs: string, parts: readonly string[]): Promise<string> {
  let folder = rootfs;
  for (const part of parts) {
    folder = join(folder, part);
    const found = await lstat(folder).catch(() => undefined);
    if (found === undefined) await mkdir(folder, { mode: 0o755 });
    else if (!found.isDirectory()) {
      throw invalidRequest(`an image layer writes below ${folder.slice(rootfs.length)}, which is no folder`);
    }
  }
  return folder;
}

/** An opaque marker hides what lower layers have put here, not what this one has. */
async function clearFolder(folder: string, writtenHere: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (!writtenHere.has(path)) await remove(path);
  }
}

const remove = (path: string): Promise<void> => rm(path, { recursive: true, force: true });

interface Placement {
  readonly rootfs: string;
  readonly target: string;
  readonly entry: TarEntry;
}

async function place(deps: UnpackDeps, placement: Placement, content: AsyncIterable<Buffer>): Promise<void> {
  const { rootfs, target, entry } = placement;
  const found = await lstat(target).catch(() => undefined);
  if (found !== undefined && !(entry.type === "directory" && found.isDirectory())) await remove(target);
  switch (entry.type) {
    case "directory":
      if (found?.isDirectory() !== true) await mkdir(target);
      break;
    case "file":
      await writeContent(target, content);
      break;
    case "symlink":
      await symlink(entry.linkTarget, target);
      break;
    case "hardlink":
      await linkInside(rootfs, entry, target);
      return;
    case "char":
    case "block":
    case "fifo":
      if (!(await makeNode(deps, target, entry))) return;
      break;
  }
  await finish(deps, target, entry);
}

async function writeContent(target: string, content: AsyncIterable<Buffer>): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  await using file = await open(target, flags, 0o600);
  for await (const piece of content) await file.writeFile(piece);
}

async function linkInside(rootfs: string, entry: TarEntry, target: string): Promise<void> {
  const parts = splitPath(entry.linkTarget);
  const name = parts.pop();
  if (name === undefined) throw invalidRequest(`an image layer links ${entry.path} to the root`);
  await link(join(await makeFolders(rootfs, parts), name), target);
}

/** False where it cannot be made: without privilege a node is left out, as containers get their own /dev. */
async function makeNode(deps: UnpackDeps, target: string, entry: TarEntry): Promise<boolean> {
  if (!deps.privileged && entry.type !== "fifo") return false;
  const node =
    entry.type === "fifo" ? ["p"] : [entry.type === "char" ? "c" : "b", `${entry.major}`, `${entry.minor}`];
  const made = await deps.exec.run(["mknod", "--", target, ...node]);
  if (made.code !== 0)
    throw invalidRequest(`cannot make ${entry.path} of an image layer: ${made.stderr.trim()}`);
  return true;
}

async function finish(deps: UnpackDeps, target: string, entry: TarEntry): Promise<void> {
  if (entry.type === "symlink") {
    if (deps.privileged) await lchown(target, entry.uid, entry.gid);
    return;
  }
  if (deps.privileged) await chown(target, entry.uid, entry.gid);
  await chmod(target, entry.mode);
}
