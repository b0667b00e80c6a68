import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { OutputChunk } from "rolldown";
import * as v from "valibot";

const PACKAGE = v.object({ name: v.string(), version: v.string(), license: v.optional(v.string(), "") });

/** Licence texts of everything that is not ours in a bundle. */
export interface Notices {
  readonly text: string;
  /** `name version`. */
  readonly packages: readonly string[];
}

/** The folder of the package that a module is of: the innermost one. */
const FOLDER = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/;

/** Throws for a package that brings neither a licence text nor the name of a licence. */
export async function noticesOf(root: string, chunks: readonly OutputChunk[]): Promise<Notices> {
  const modules = chunks.flatMap((chunk) =>
    Object.entries(chunk.modules).flatMap(([id, { renderedLength }]) => (renderedLength > 0 ? [id] : [])),
  );
  const folders = new Set(modules.flatMap((id) => FOLDER.exec(id)?.[0] ?? []));
  const parts = await Promise.all([...folders].map(noticeOf));
  parts.sort((a, b) => (a.name < b.name ? -1 : 1));
  const own = await readFile(join(root, "package.json"), "utf8");
  const { name } = v.parse(PACKAGE, JSON.parse(own));
  return {
    text: [`Packages that ${name} contains, and their licences.`, ...parts.map(({ text }) => text), ""].join(
      `\n\n${"-".repeat(80)}\n\n`,
    ),
    packages: parts.map((part) => part.name),
  };
}

async function noticeOf(folder: string): Promise<{ readonly name: string; readonly text: string }> {
  const about = v.parse(PACKAGE, JSON.parse(await readFile(join(folder, "package.json"), "utf8")));
  const name = `${about.name} ${about.version}`;
  const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file)).sort();
  if (files.length === 0 && about.license === "") throw new Error(`${name} says nothing of its licence`);
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
  return { name, text: [name, about.license, ...texts.map((text) => text.trim())].join("\n\n") };
}
