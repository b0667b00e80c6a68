import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

/** What a program that logs writes: the log goes to the process's own standard error. */
function logged(program: string): string[] {
  const platform = join(import.meta.dirname, "index.ts");
  const code = `import { createLog, LiveValue } from ${JSON.stringify(platform)}; ${program}`;
  const out = execFileSync(
    "sh",
    ["-c", '"$0" --input-type=module-typescript -e "$1" 2>&1', process.execPath, code],
    {
      encoding: "utf8",
    },
  );
  return out
    .trim()
    .split("\n")
    .filter((line) => line.startsWith("{"));
}

test("the level changes while it runs, for children that were made before too", () => {
  const lines = logged(`
    const level = new LiveValue("warn");
    const log = createLog(level, "x");
    const child = log.child({ provider: "mock" });
    child.info("not yet"); child.warn("one");
    level.set("debug");
    child.debug("two"); log.info("three");
    level.set("error");
    log.warn("no more"); child.error("four");
  `);
  const said = lines.map((line) => JSON.parse(line));
  expect(said.map(({ msg, level }) => `${level} ${msg}`)).toEqual([
    "warn one",
    "debug two",
    "info three",
    "error four",
  ]);
  expect(said[1]).toMatchObject({ component: "x", provider: "mock" });
});
