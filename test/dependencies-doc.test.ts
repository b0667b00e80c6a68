import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { expect, test } from "vitest";
import { readSources } from "./architecture/imports.ts";

const ROOT = join(import.meta.dirname, "..");
const NAMES = v.optional(v.record(v.string(), v.string()), {});
const PACKAGE = v.object({ dependencies: NAMES, optionalDependencies: NAMES, devDependencies: NAMES });

const manifest = v.parse(PACKAGE, JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")));
const document = await readFile(join(ROOT, "docs", "dependencies.md"), "utf8");
const [runTime = "", development = ""] = document.split("## For development");
const rows = (text: string): string[][] =>
  [...text.matchAll(/^\| `([^`]+)` \|(.*)\|$/gm)].map(([, name = "", rest = ""]) => [
    name,
    ...rest.split("|").map((cell) => cell.trim()),
  ]);

test("docs/dependencies.md lists exactly the packages of package.json", () => {
  const names = (table: string) => new Set(rows(table).map(([name]) => name));
  const { dependencies, optionalDependencies, devDependencies } = manifest;
  expect(names(runTime)).toEqual(new Set(Object.keys({ ...dependencies, ...optionalDependencies })));
  expect(names(development)).toEqual(new Set(Object.keys(devDependencies)));
});

test("each package says why it is there", () => {
  for (const row of [...rows(runTime), ...rows(development)])
    expect(row.at(-1), row[0]).toMatch(/^[A-Z].*\.$/);
});

test("a package for run time is used in the folders that docs/dependencies.md names, and only there", async () => {
  const files = await readSources(ROOT, ["src", "providers"]);
  const folderOf = (path: string) =>
    /^(src\/[^/]+|providers\/mock\/[^/]+(?=\/)|providers\/[^/]+)/.exec(path)?.[0] ?? path;
  const used = new Map<string, Set<string>>();
  for (const { path, packages } of files.filter((file) => !file.path.endsWith(".test.ts"))) {
    for (const name of packages) used.set(name, (used.get(name) ?? new Set()).add(folderOf(path)));
  }
  for (const name of Object.keys(manifest.dependencies)) {
    const said = rows(runTime).find(([row]) => row === name)?.[1] ?? "";
    // A package may come a commit before the folder that uses it.
    const folders = [...said.matchAll(/`([^`]+)`/g)]
      .map(([, folder = ""]) => folder)
      .filter((folder) => existsSync(join(ROOT, folder)));
    expect(new Set(folders), name).toEqual(used.get(name) ?? new Set());
  }
});
