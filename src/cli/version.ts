import { readFile } from "node:fs/promises";
import * as v from "valibot";

const PACKAGE = v.object({ version: v.string() });

/** The program's version, from its package.json. */
export async function programVersion(): Promise<string> {
  const text = await readFile(new URL("../../package.json", import.meta.url), "utf8");
  return v.parse(PACKAGE, JSON.parse(text)).version;
}
