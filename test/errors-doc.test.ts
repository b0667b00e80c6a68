import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { Code, KINDS } from "../src/errors/index.ts";

/** `ResourceExhausted` as gRPC writes it. */
const screaming = (name: string): string => name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();

test("docs/errors.md tells every kind of error once, in the catalogue's order, with the status its caller gets", async () => {
  const text = await readFile(new URL("../docs/errors.md", import.meta.url), "utf8");
  const rows = [...text.matchAll(/^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$/gm)];
  const names = new Map(Object.entries(Code).map(([name, code]) => [code, screaming(name)]));
  expect(rows.map(([, kind, status]) => [kind, status])).toEqual(
    Object.entries(KINDS).map(([kind, code]) => [kind, `${code} ${names.get(code)}`]),
  );
  for (const [, kind, , meaning, advice] of rows) {
    expect(meaning, kind).toMatch(/^[A-Z].*\.\s*$/);
    expect(advice, kind).toMatch(/^[A-Z].*\.\s*$/);
  }
});
