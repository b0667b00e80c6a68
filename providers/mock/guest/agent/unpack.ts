import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  createReadStream,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { invalidRequest } from "../../../../src/errors/index.ts";
import type { Exec } from "../../../../src/platform/index.ts";
import { readTar, type TarEntry } from "./tar.ts";

// Layers and whiteouts: OCI image specification, layer.md. The many small steps are synchronous, which makes them ten times
// cheaper; between two chunks of an archive other work goes on.

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
      finish(deps, rootfs, entry);
      continue;
    }
    const folder = makeFolders(rootfs, parts);
    if (name === OPAQUE) clearFolder(folder, writtenHere);
    else if (name.startsWith(WHITEOUT)) remove(join(folder, name.slice(WHITEOUT.length)));
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

const found = (path: string) => lstatSync(path, { throwIfNoEntry: false });

/** Makes the folders of `parts` and refuses to pass through a link. */
function makeFolders(rootfs: string, parts: readonly string[]): string {
  let folder = rootfs;
  for (const part of parts) {
    folder = join(folder, part);
    const there = found(folder);
    if (there === undefined) mkdirSync(folder, { mode: 0o755 });
    else if (!there.isDirectory()) {
      throw invalidRequest(`an image layer writes below ${folder.slice(rootfs.length)}, which is no folder`);
    }
  }
  return folder;
}

/** An opaque marker hides what lower layers have put here, not what this one has. */
function clearFolder(folder: string, writtenHere: ReadonlySet<string>): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (!writtenHere.has(path)) remove(path);
  }
}

const remove = (path: string): void => rmSync(path, { recursive: true, force: true });

interface Placement {
  readonly rootfs: string;
  readonly target: string;
  readonly entry: TarEntry;
}

async function place(deps: UnpackDeps, placement: Placement, content: AsyncIterable<Buffer>): Promise<void> {
  const { rootfs, target, entry } = placement;
  const there = found(target);
  const isFolder = there?.isDirectory() === true;
  if (there !== undefined && !(entry.type === "directory" && isFolder)) remove(target);
  switch (entry.type) {
    case "directory":
      if (!isFolder) mkdirSync(target);
      break;
    case "file":
      await writeContent(target, content);
      break;
    case "symlink":
      symlinkSync(entry.linkTarget, target);
      break;
    case "hardlink":
      linkInside(rootfs, entry, target);
      return;
    case "char":
    case "block":
    case "fifo":
      if (!(await makeNode(deps, target, entry))) return;
      break;
  }
  finish(deps, target, entry);
}

async function writeContent(target: string, content: AsyncIterable<Buffer>): Promise<void> {
  const file = openSync(
    target,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o600,
  );
  try {
    for await (const piece of content) {
      for (let written = 0; written < piece.length; ) written += writeSync(file, piece, written);
    }
  } finally {
    closeSync(file);
  }
}

function linkInside(rootfs: string, entry: TarEntry, target: string): void {
  const parts = splitPath(entry.linkTarget);
  const name = parts.pop();
  if (name === undefined) throw invalidRequest(`an image layer links ${entry.path} to the root`);
  linkSync(join(makeFolders(rootfs, parts), name), target);
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

function finish(deps: UnpackDeps, target: string, entry: TarEntry): void {
  if (entry.type === "symlink") {
    if (deps.privileged) lchownSync(target, entry.uid, entry.gid);
    return;
  }
  if (deps.privileged) chownSync(target, entry.uid, entry.gid);
  chmodSync(target, entry.mode);
}
