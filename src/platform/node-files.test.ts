import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeFolder, readBootId } from "./node-files.ts";

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "node-files-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test("a folder is made with what it lies in, for root's eyes only, and may be there already", () => {
  const path = join(dir, "a/b");
  makeFolder("PODS_DIR", path);
  makeFolder("PODS_DIR", path);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(statSync(join(dir, "a")).mode & 0o777).toBe(0o700);
});

test("a folder that cannot be made is a setting that is wrong, with its key and path, and ends at once", () => {
  const file = join(dir, "file");
  writeFileSync(file, "");
  for (const path of [file, join(file, "below"), "/proc/none/below"])
    expect(() => makeFolder("PEERPODS_STATE_DIR", path)).toThrow(
      expect.objectContaining({
        kind: "invalid-config",
        message: expect.stringContaining(`PEERPODS_STATE_DIR: cannot make the folder ${path}`),
      }),
    );
});

test("a boot id that cannot be read, or says nothing, is a setting that is wrong", () => {
  const file = join(dir, "boot_id");
  const refused = expect.objectContaining({
    kind: "invalid-config",
    message: expect.stringContaining("PEERPODS_BOOT_ID_FILE"),
  });
  expect(() => readBootId(file)).toThrow(refused);
  writeFileSync(file, "\n");
  expect(() => readBootId(file)).toThrow(refused);
  writeFileSync(file, "one\n");
  expect(readBootId(file)).toBe("one");
});
