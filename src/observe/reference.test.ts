import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ADAPTOR_SPECS } from "./adaptor-specs.ts";
import { CONTROLLER_SPECS } from "./controller-specs.ts";
import type { MetricSpec } from "./specs.ts";
import { WEBHOOK_SPECS } from "./webhook-specs.ts";

const path = join(import.meta.dirname, "../../docs/metrics.md");

/** One table for each registry, between its marks in docs/metrics.md. */
const TABLES: Readonly<Record<string, readonly MetricSpec[]>> = {
  adaptor: ADAPTOR_SPECS,
  controller: CONTROLLER_SPECS,
  webhook: WEBHOOK_SPECS,
};

function table(specs: readonly MetricSpec[]): string {
  const rows = specs.map(({ name, kind, labels, help }) => {
    const shown = labels.map((label) => `\`${label}\``).join(", ");
    return `| \`${name}\` | ${kind} | ${shown} | ${help} |`;
  });
  return ["| Metric | Kind | Labels | |", "|---|---|---|---|", ...rows].join("\n");
}

function updated(document: string): string {
  return Object.entries(TABLES).reduce((text, [name, specs]) => {
    const marks = new RegExp(`(<!-- ${name}: [^\\n]*-->\\n)[^]*?(<!-- end -->)`);
    if (!marks.test(text)) throw new Error(`docs/metrics.md has no place for the table "${name}"`);
    return text.replace(marks, (_all, begin: string, end: string) => `${begin}\n${table(specs)}\n\n${end}`);
  }, document);
}

test("docs/metrics.md lists every metric, and no other", () => {
  const document = readFileSync(path, "utf8");
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(path, updated(document));
  expect(readFileSync(path, "utf8")).toBe(updated(document));
});
