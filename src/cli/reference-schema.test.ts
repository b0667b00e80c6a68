import { readFile, writeFile } from "node:fs/promises";
import * as v from "valibot";
import { expect, test } from "vitest";
import { generatedSchemas } from "../../test/chart/config-schema.ts";

const FILE = new URL("../../deploy/chart/values.schema.json", import.meta.url);
const Schema = v.looseObject({
  properties: v.record(v.string(), v.unknown()),
  $defs: v.record(v.string(), v.unknown()),
});

test("the chart's values.schema.json is what the declarations say (UPDATE_GOLDEN=1 writes it)", async () => {
  const schema = v.parse(Schema, JSON.parse(await readFile(FILE, "utf8")));
  const { provider, definitions } = await generatedSchemas();
  schema.properties["provider"] = provider;
  Object.assign(schema.$defs, definitions);
  const text = `${JSON.stringify(schema, undefined, 2)}\n`;
  if (process.env["UPDATE_GOLDEN"] === "1") await writeFile(FILE, text);
  expect(await readFile(FILE, "utf8")).toBe(text);
});
