import { readFile, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { configurationReference } from "./reference.ts";

const FILE = new URL("../../docs/configuration.md", import.meta.url);

test("docs/configuration.md is what the declarations say (UPDATE_GOLDEN=1 writes it)", async () => {
  const text = await configurationReference();
  if (process.env["UPDATE_GOLDEN"] === "1") await writeFile(FILE, text);
  expect(await readFile(FILE, "utf8")).toBe(text);
});
