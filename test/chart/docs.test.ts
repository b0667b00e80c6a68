import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { valuesTable } from "./values-table.ts";

const CHART = join(import.meta.dirname, "../../deploy/chart");
const README = join(CHART, "README.md");
const MIGRATION = join(import.meta.dirname, "../../docs/migrate-from-go.md");
const BEGIN = "<!-- values -->\n";
const END = "\n<!-- /values -->";

const values = await readFile(join(CHART, "values.yaml"), "utf8");

test("the table of values in the chart's README is values.yaml with its comments (UPDATE_GOLDEN=1 writes it)", async () => {
  const text = await readFile(README, "utf8");
  const before = text.slice(0, text.indexOf(BEGIN) + BEGIN.length);
  const after = text.slice(text.indexOf(END));
  const wanted = `${before}${valuesTable(values)}${after}`;
  if (process.env["UPDATE_GOLDEN"] === "1") await writeFile(README, wanted);
  expect(await readFile(README, "utf8")).toBe(wanted);
});

/** Fields of pods and numbers whose name says all. */
const PLAIN =
  /\.(enabled|replicas|port|healthPort|timeoutSeconds|pullPolicy|priorityClassName|podLabels|podAnnotations|annotations|labels|affinity|tolerations|interval|terminationGracePeriodSeconds|minAvailable|handler|resources\..*|requests\..*|overhead\..*|nodeSelector\..*)$/;

test("every value says what it is for, but those of pods that are as in a pod", () => {
  const rows = valuesTable(values).split("\n").slice(2);
  const silent = rows.filter((row) => row.endsWith("|  |")).map((row) => row.split("`")[1] ?? "");
  const grouped = [
    "daemonset.updateStrategy.maxSurge",
    "daemonset.extraVolumeMounts",
    "resourceCtrl.extraVolumeMounts",
    "pullSecrets.namespaces",
  ];
  expect(silent.filter((key) => !PLAIN.test(key) && !grouped.includes(key))).toEqual([]);
});

/** Whether a path of keys is in a document; what a map leaves open may have any key. */
function knows(document: unknown, path: readonly string[]): boolean {
  const [key, ...rest] = path;
  if (key === undefined) return true;
  if (typeof document !== "object" || document === null) return false;
  const entries = new Map(Object.entries(document));
  return entries.size === 0 || (entries.has(key) && knows(entries.get(key), rest));
}

test("what docs/migrate-from-go.md names as a key of ours is one", async () => {
  const [mapped = "", added = ""] = (await readFile(MIGRATION, "utf8")).split("New, with defaults");
  const cells = (text: string, column: number): readonly string[] =>
    text
      .split("\n")
      .filter((line) => line.startsWith("| `"))
      .map((line) => line.split("|")[column] ?? "");
  const ours = [...cells(mapped, 2), ...cells(added, 1)];
  expect(ours.length).toBeGreaterThan(35);
  for (const cell of ours) {
    for (const [, key = ""] of cell.matchAll(/`([^`]+)`/g)) {
      const path = key.split(".").filter((part) => !part.startsWith("<"));
      expect(knows(parse(values), path), key).toBe(true);
    }
  }
});
