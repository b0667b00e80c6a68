import { readdir, readFile } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";

export interface SourceFile {
  /** From the repository's root. */
  readonly path: string;
  readonly text: string;
  readonly lines: number;
  /** Files of ours, from the root; types and dynamic imports included. */
  readonly imports: readonly string[];
  /** `node:fs`, `@azure/identity`: what is not ours. */
  readonly packages: readonly string[];
}

/** Biome's format makes these shapes certain: statements begin a line, and names are in double quotes. */
const STATEMENT = /^(?:import|export)\s(?:[^;"]*?\sfrom\s+)?"([^"]+)"/gm;
const DYNAMIC = /\bimport\(\s*"([^"]+)"\s*\)/g;
const EMPTY_FROM = /^(?:import|export)\s[^;"]*?\sfrom\s+"([^"]+)"/gm;

/** The names that a module imports, whether as values, types, for its effect or when it runs. */
export function importedNames(text: string): readonly string[] {
  const code = withoutComments(text);
  const names = [STATEMENT, EMPTY_FROM, DYNAMIC].flatMap((pattern) =>
    [...code.matchAll(pattern)].map(([, name = ""]) => name),
  );
  return [...new Set(names)];
}

/** Without comments that begin a line or stand alone at a line's end; strings are left as they are. */
export function withoutComments(text: string): string {
  return text.replaceAll(/^\s*\/\*[\s\S]*?\*\//gm, "").replaceAll(/(^|[\s;{}])\/\/.*$/gm, "$1");
}

/** All .ts files below these folders, generated ones too. */
export async function readSources(root: string, folders: readonly string[]): Promise<readonly SourceFile[]> {
  const paths: string[] = [];
  for (const folder of folders) {
    for (const entry of await readdir(join(root, folder), { recursive: true, withFileTypes: true })) {
      if (entry.isFile() && entry.name.endsWith(".ts"))
        paths.push(join(entry.parentPath, entry.name).slice(root.length + 1));
    }
  }
  return await Promise.all(paths.sort().map((path) => readSource(root, path)));
}

async function readSource(root: string, path: string): Promise<SourceFile> {
  const text = await readFile(join(root, path), "utf8");
  const names = importedNames(text);
  return {
    path,
    text,
    lines: text.trimEnd().split("\n").length,
    imports: names.filter((name) => name.startsWith(".")).map((name) => normalize(join(dirname(path), name))),
    packages: names.filter((name) => !name.startsWith(".")).map(packageOf),
  };
}

/** `node:fs/promises` is node:fs, `@a/b/c` is @a/b, `a/b` is a. */
function packageOf(name: string): string {
  const parts = name.split("/");
  return parts.slice(0, name.startsWith("@") ? 2 : 1).join("/");
}

/** Sets of files that import each other in a ring, each in the order of the ring. */
export function importCycles(files: readonly SourceFile[]): readonly (readonly string[])[] {
  const graph = new Map(files.map((file) => [file.path, file.imports]));
  const done = new Set<string>();
  const cycles: (readonly string[])[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) {
      cycles.push([...trail.slice(start), path]);
      return;
    }
    if (done.has(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return cycles;
}
