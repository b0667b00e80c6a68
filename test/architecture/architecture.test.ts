import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { importCycles, importedNames, readSources, type SourceFile, withoutComments } from "./imports.ts";
import { readRules, unitOf } from "./rules.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const MAX_LINES = 400;
const MAX_TEST_LINES = 500;

const document = await readFile(join(ROOT, "ARCHITECTURE.md"), "utf8");
const dependencies = readRules(document, "dependencies");
const entrances = readRules(document, "entrances");
const modules = readRules(document, "modules");
const globals = readRules(document, "globals");

const files = await readSources(ROOT, ["src", "providers"]);
const unit = (path: string): string => unitOf(path, dependencies.keys());
/** Tests, and what only they use: `testing*.ts`, `test-*.ts`, `*-harness.ts`. */
const isTest = (path: string): boolean =>
  /\.test\.ts$|(^|\/)(testing|test)(-[^/]*)?\.ts$|-harness\.ts$/.test(path) || path.startsWith("test/");
const product: readonly SourceFile[] = files.filter((file) => !isTest(file.path));
const written = files.filter((file) => unit(file.path) !== "gen");

const allows = (rule: readonly string[] | undefined, name: string): boolean =>
  rule?.some(
    (allowed) =>
      allowed === "*" ||
      allowed === name ||
      (allowed.endsWith("/*") && name.startsWith(allowed.slice(0, -1))),
  ) ?? false;

/** `name` ends in `()` for a function that is called, in `.` for an object of which anything is used. */
function usesGlobal(code: string, name: string): boolean {
  const pattern = name.replaceAll(".", "\\.").replace(/\(\)$/, "\\(");
  return new RegExp(`(?<![.#\\w])${pattern}${name.endsWith("()") || name.endsWith(".") ? "" : "\\b"}`).test(
    code,
  );
}

test("the list in ARCHITECTURE.md names every folder", () => {
  const there = new Set(files.map((file) => unit(file.path)));
  expect([...there].filter((name) => !dependencies.has(name))).toEqual([]);
});

test("a folder imports only what the list in ARCHITECTURE.md lets it", () => {
  const wrong = product.flatMap(({ path, imports }) =>
    imports
      .filter((target) => unit(target) !== unit(path) && !allows(dependencies.get(unit(path)), unit(target)))
      .map((target) => `${path} imports ${target}: ${unit(path)} may not use ${unit(target)}`),
  );
  expect(wrong).toEqual([]);
});

test("the list itself has no ring", () => {
  const names = [...dependencies.keys()];
  const asFiles = names.map((name): SourceFile => {
    const imports = names.filter((other) => other !== name && allows(dependencies.get(name), other));
    return { path: name, text: "", lines: 0, imports, packages: [] };
  });
  expect(importCycles(asFiles)).toEqual([]);
});

test("a folder is entered through its index.ts, or where ARCHITECTURE.md says", () => {
  const wrong = product.flatMap(({ path, imports }) =>
    imports
      .filter((target) => unit(target) !== unit(path) && !/^(src|providers)\/(.+\/)?index\.ts$/.test(target))
      .filter((target) => unit(target) !== "gen" && !allows(entrances.get(target), unit(path)))
      .map((target) => `${path} imports ${target}`),
  );
  expect(wrong).toEqual([]);
});

test("every imported file exists, and no product file imports a test's", () => {
  const known = new Set(files.map((file) => file.path));
  const wrong = product.flatMap(({ path, imports }) =>
    imports
      .filter((target) => !known.has(target) || isTest(target))
      .map((target) => `${path} imports ${target}`),
  );
  expect(wrong).toEqual([]);
});

test("no file imports itself by way of others", () => {
  expect(importCycles(files.filter((file) => unit(file.path) !== "gen"))).toEqual([]);
});

test("modules that reach outside the process are used only where ARCHITECTURE.md says", () => {
  const wrong = product.flatMap(({ path, packages }) =>
    packages
      .filter((name) => modules.has(name) && !allows(modules.get(name), unit(path)))
      .map((name) => `${path} uses ${name}`),
  );
  expect(wrong).toEqual([]);
});

test("clock, timers, network and environment are reached only where ARCHITECTURE.md says", () => {
  const wrong = product
    .filter((file) => unit(file.path) !== "gen")
    .flatMap(({ path, text }) => {
      const code = withoutComments(text);
      return [...globals]
        .filter(([name, rule]) => usesGlobal(code, name) && !allows(rule, unit(path)))
        .map(([name]) => `${path} uses ${name}`);
    });
  expect(wrong).toEqual([]);
});

test("a file that is too long to be held in the head is split", () => {
  const long = written.filter(({ path, lines }) => lines > (isTest(path) ? MAX_TEST_LINES : MAX_LINES));
  expect(long.map(({ path, lines }) => `${path} has ${lines} lines`)).toEqual([]);
});

test("imports are found in all their forms", () => {
  const text = [
    'import a from "./a.ts";',
    "import {",
    "  b,",
    '} from "./b.ts";',
    'import type { C } from "./c.ts";',
    'export { d } from "./d.ts";',
    'import "./e.ts";',
    'export const f = () => import("./f.ts");',
    'type G = import("./g.ts").G;',
    '// import "./not.ts";',
    '/** import("./nor.ts") */',
  ].join("\n");
  expect(importedNames(text).toSorted()).toEqual(
    ["a", "b", "c", "d", "e", "f", "g"].map((name) => `./${name}.ts`),
  );
});
