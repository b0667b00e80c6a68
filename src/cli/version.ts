import { readFile } from "node:fs/promises";
import { internal } from "../errors/index.ts";
import { installedFile } from "../platform/index.ts";

/** The program's version, from its package.json. Read by hand: nothing else that a start needs wants a schema. */
export async function programVersion(): Promise<string> {
  const file = installedFile("package.json");
  const about: unknown = JSON.parse(await readFile(file, "utf8"));
  if (typeof about === "object" && about !== null && "version" in about && typeof about.version === "string")
    return about.version;
  throw internal(`${file} names no version`);
}
