import { mkdirSync, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { describeError, invalidConfig } from "../errors/index.ts";

const FOLDER_MODE = 0o700;

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

/**
 * Makes a folder and what it lies in, mode 0700. Throws `invalid-config` with the setting's `key`. Not by Node's `recursive`,
 * which tries for ever where the kernel answers ENOENT though the parent is there (/proc).
 */
export function makeFolder(key: string, path: string): void {
  try {
    makeFolders(path);
  } catch (cause) {
    throw invalidConfig(
      `${key}: cannot make the folder ${path}: ${describeError(cause)}; give one on a disk that is writable and not full`,
      { cause },
    );
  }
}

function makeFolders(path: string): void {
  if (isFolder(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolders(parent);
  try {
    mkdirSync(path, { mode: FOLDER_MODE });
  } catch (error) {
    if (!isFolder(path)) throw error;
  }
}

/** What tells one boot of the node from another. Throws `invalid-config` when it cannot be read or says nothing. */
export function readBootId(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (cause) {
    throw invalidConfig(
      `PEERPODS_BOOT_ID_FILE: cannot read ${path}: ${describeError(cause)}; leave it unset for the kernel's own`,
      { cause },
    );
  }
  if (text === "")
    throw invalidConfig(`PEERPODS_BOOT_ID_FILE: ${path} is empty; leave it unset for the kernel's own`);
  return text;
}
