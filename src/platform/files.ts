import { open, readdir, rm, stat, statfs } from "node:fs/promises";
import { tooLarge } from "../errors/index.ts";

/** NSFS_MAGIC of include/uapi/linux/magic.h: the file system behind /proc/<pid>/ns and bind-mounted namespaces. */
const NSFS_MAGIC = 0x6e73_6673;

/** A file as UTF-8 text. Throws `too-large` if it is longer than `maxBytes`, and Node's own error if it cannot be read. */
export async function readTextFile(path: string, maxBytes: number): Promise<string> {
  await using file = await open(path, "r");
  const buffer = Buffer.alloc(maxBytes + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
    if (bytesRead === 0) return buffer.toString("utf8", 0, length);
    length += bytesRead;
  }
  throw tooLarge(`${path} is longer than ${maxBytes} bytes`);
}

/** Whether a path leads to a Linux namespace. False when nothing is there; throws Node's own error on anything else. */
export async function isNamespaceFile(path: string): Promise<boolean> {
  try {
    return (await statfs(path)).type === NSFS_MAGIC;
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR"))
      return false;
    throw error;
  }
}

/** The permission bits of a file (`0o600`). Throws Node's own error if it cannot be looked at. */
export async function fileMode(path: string): Promise<number> {
  return (await stat(path)).mode & 0o7777;
}

/** Whether two paths lead to the same file or namespace now. Throws Node's own error if either cannot be looked at. */
export async function isSameFile(one: string, other: string): Promise<boolean> {
  const [first, second] = await Promise.all([stat(one), stat(other)]);
  return first.dev === second.dev && first.ino === second.ino;
}

/** Changes when another file takes the path's place; undefined: nothing is there. Throws Node's own error on anything else. */
export async function fileIdentity(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, ctimeNs } = await stat(path, { bigint: true });
    // An inode's number is given again soon.
    return `${dev}/${ino}/${ctimeNs}`;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** Removes the files of a folder whose names match, `keep` excepted. A folder that is not there has none. */
export async function removeFiles(dir: string, matching: RegExp, keep: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(dir);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
    throw error;
  }
  for (const name of names)
    if (matching.test(name) && name !== keep) await rm(`${dir}/${name}`, { force: true });
}
