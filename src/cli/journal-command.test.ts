import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Journal } from "../journal/index.ts";
import { systemClock } from "../platform/index.ts";
import { showJournal } from "./journal-command.ts";

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "show-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test("what is shown of a journal holds the VMs that wait for pods", async () => {
  const journal = Journal.open({ stateDir: dir, clock: systemClock });
  const vm = { name: "podvm-pool-1", kind: "default", provider: "mock", tags: {}, limit: 1 };
  journal.pool.intend(vm, () => 0);
  journal.close();
  const written: string[] = [];
  expect(await showJournal(dir, (text) => written.push(text))).toBe(0);
  const shown: unknown = JSON.parse(written.join(""));
  expect(shown).toMatchObject({ pool: [{ name: "podvm-pool-1", phase: "intended" }], vms: [] });
});
