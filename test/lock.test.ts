import { readFile } from "node:fs/promises";
import * as v from "valibot";
import { expect, test } from "vitest";

const LOCK = v.object({
  packages: v.record(
    v.string(),
    v.object({
      version: v.optional(v.string()),
      optionalDependencies: v.optional(v.record(v.string(), v.string()), {}),
    }),
  ),
});

test("package-lock.json names the packages of every platform, or npm ci refuses it (npm run lock)", async () => {
  const { packages } = v.parse(LOCK, JSON.parse(await readFile("package-lock.json", "utf8")));
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies }]) =>
    Object.keys(optionalDependencies)
      .filter(
        (name) =>
          path !== "" && !packages[`node_modules/${name}`] && !packages[`${path}/node_modules/${name}`],
      )
      .map((name) => `${path} needs ${name}`),
  );
  expect(missing).toEqual([]);
});
