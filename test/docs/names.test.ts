import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { commandSummaries, loadCommand } from "../../src/cli/commands.ts";
import { flatten } from "../../src/cli/config.ts";
import { type Document, inlineCode, parseDocument, ROOT, readDocuments } from "./documents.ts";

const documents = readDocuments();
const OURS = /\b(?:PEERPODS|POD_VM|AZURE|IBMCLOUD|KVM|MOCK|MOCK_CLOUD)_[A-Z0-9_]+\b/g;

/** Read by tests, or by the program where no option is declared; each with where. */
const UNDECLARED: Readonly<Record<string, string>> = {
  PEERPODS_POISON_DEATHS: "src/cli",
  PEERPODS_MODEL_RUNS: "test/resilience/lifecycle-model.test.ts",
  PEERPODS_MODEL_SEED: "test/resilience/lifecycle-model.test.ts",
};

async function declaredVariables(): Promise<ReadonlySet<string>> {
  const variables = new Set<string>(Object.keys(UNDECLARED));
  for (const { name } of commandSummaries()) {
    const command = await loadCommand(name);
    for (const { env } of flatten(command.groups)) if (env !== undefined) variables.add(env);
  }
  return variables;
}

const unknownVariables = (known: ReadonlySet<string>, { path, text }: Document): readonly string[] =>
  [...text.matchAll(OURS)]
    .map(([name]) => name)
    .filter((name) => !known.has(name) && !name.endsWith("_"))
    .map((name) => `${path}: ${name}`);

test("every variable of ours that a document names is declared", async () => {
  const known = await declaredVariables();
  expect(documents.flatMap((document) => unknownVariables(known, document))).toEqual([]);
  const invented = parseDocument("docs/some.md", "Set AZURE_REGION and `AZURE_REGOIN`.");
  expect(unknownVariables(known, invented)).toEqual(["docs/some.md: AZURE_REGOIN"]);
});

const values: unknown = parse(readFileSync(join(ROOT, "deploy/chart/values.yaml"), "utf8"));

/** Whether a path of keys is in a document; what a map leaves open may have any key. */
function knows(document: unknown, path: readonly string[]): boolean {
  const [key, ...rest] = path;
  if (key === undefined) return true;
  if (typeof document !== "object" || document === null || Array.isArray(document)) return false;
  const entries = new Map<string, unknown>(Object.entries(document));
  return entries.size === 0 || (entries.has(key) && knows(entries.get(key), rest));
}

/** Keys of the chart with something below them. */
const MAPS: readonly string[] =
  typeof values === "object" && values !== null
    ? Object.entries(values)
        .filter(([, value]) => typeof value === "object" && !Array.isArray(value))
        .map(([key]) => key)
    : [];

/** Texts in backticks, and arguments of --set, that are paths into the chart's values. */
function valuePaths(document: Document): readonly string[] {
  const set = document.shell.flatMap((line) =>
    line
      .matchAll(/--set(?:-string)?[ =]'?([^\s=']+)=/g)
      .map(([, path = ""]) => path)
      .toArray(),
  );
  const inCode = inlineCode(document)
    .map((code) => /^([\w-]+(?:\.[\w-]+)+)(?:[=:] ?\S*)?$/.exec(code)?.[1] ?? "")
    .filter((path) => MAPS.includes(path.split(".")[0] ?? ""));
  return [...set, ...inCode];
}

/** Has the other chart's keys too, and a test of its own in test/chart. */
const OWN_TEST = "docs/migrate-from-go.md";

test("every value of the chart that a document names is in values.yaml", () => {
  const named = documents
    .filter(({ path }) => path !== OWN_TEST && /^(?:docs|deploy|README)/.test(path))
    .flatMap((document) => valuePaths(document).map((path) => ({ from: document.path, path })));
  expect(named.length).toBeGreaterThan(20);
  const missing = named.filter(({ path }) => !knows(values, path.split(".")));
  expect(missing.map(({ from, path }) => `${from}: ${path}`)).toEqual([]);
  expect(knows(values, ["webhook", "hostNetwrok"])).toBe(false);
});
