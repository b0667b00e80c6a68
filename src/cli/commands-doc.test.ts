import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { commandSummaries } from "./commands.ts";

const text = readFileSync(join(import.meta.dirname, "../../docs/commands.md"), "utf8");

test("docs/commands.md names every command", () => {
  const table = text.slice(0, text.indexOf("## Exit status"));
  const named = table
    .matchAll(/`([^`]+)`/g)
    .flatMap(([, words = ""]) => {
      const [first = "", ...rest] = words.replaceAll("\\|", "|").split(/[ |]/);
      return [first, ...rest.map((word) => `${first} ${word}`)];
    })
    .toArray();
  const missing = commandSummaries()
    .map(({ name }) => name)
    .filter((name) => !named.includes(name));
  expect(missing).toEqual([]);
});
