import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LogFile } from "./log-file.ts";

let dir: string;
let syncs: number;
let log: LogFile;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "log-file-"));
  syncs = 0;
  writeFileSync(join(dir, "wal"), "");
  log = LogFile.open(join(dir, "wal"), { onSynced: () => syncs++ });
});
afterEach(() => {
  log.close();
  rmSync(dir, { recursive: true });
});

test("all who wait at the same time share one sync, and nobody waits for one that has begun before", async () => {
  log.written();
  const first = Array.from({ length: 10 }, () => log.sync());
  await Promise.resolve();
  // The first sync has begun.
  log.written();
  const second = Array.from({ length: 10 }, () => log.sync());
  await Promise.all(first);
  expect(syncs).toBe(1);
  expect(log.isSynced).toBe(false);
  await Promise.all(second);
  expect(syncs).toBe(2);
  expect(log.isSynced).toBe(true);
});

test("a sync that fails is told to all who wait for it, and is tried again by the next", async () => {
  const failing = LogFile.open("/dev/null", { onSynced: () => syncs++ }); // It cannot be synced.
  failing.written();
  const outcomes = await Promise.allSettled([failing.sync(), failing.sync()]);
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await expect(failing.sync()).rejects.toThrow(/EINVAL/);
  expect([failing.isSynced, syncs]).toEqual([false, 0]);
  failing.close();
});
