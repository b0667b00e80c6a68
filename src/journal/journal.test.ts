import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../platform/index.ts";
import { inspectJournal, Journal, tryOwnerLock } from "./index.ts";
import { SCHEMA_VERSION } from "./schema.ts";

let stateDir = "";
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "journal-"));
});
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

const open = (): Journal => Journal.open({ stateDir, clock: systemClock });
const path = (): string => join(stateDir, "journal.db");
/** The journal with its write-ahead log. */
const onDisk = (): string => [path(), `${path()}-wal`].map((file) => readFileSync(file, "latin1")).join("");

function fill(journal: Journal, id: string): void {
  journal.reserve({
    id,
    podName: "web",
    podNamespace: "default",
    netns: "/run/netns/x",
    requestJson: "{}",
    vmName: `podvm-web-${id}`,
    vxlanMinId: 555_000,
    limit: 10,
    poolKind: undefined,
    mayYield: false,
  });
  journal.created(id, {
    podUid: "uid",
    networkJson: "{}",
    volumesJson: "[]",
    serverName: "name",
    caPem: "ca",
    clientCertPem: "cert",
    clientKeyPem: "TOP-SECRET-CLIENT-KEY",
    userData: "TOP-SECRET-USER-DATA",
  });
}

describe("the journal", () => {
  test("keeps what was written over a reopening, in files that only root can read", () => {
    const first = open();
    fill(first, "s1");
    first.close();
    expect(statSync(path()).mode & 0o777).toBe(0o600);
    expect(statSync(stateDir).mode & 0o777).toBe(0o700);
    const second = open();
    expect(second.sandbox("s1")).toMatchObject({ phase: "created", podUid: "uid", vxlanId: 555_000 });
    expect(second.sandbox("s1")?.userData?.reveal()).toBe("TOP-SECRET-USER-DATA");
    second.close();
  });

  test("wipes keys and user data from the disk when they are no longer needed", async () => {
    const journal = open();
    fill(journal, "s1");
    journal.beginStart("s1", { name: "podvm-web-s1", provider: "p", tags: {} });
    journal.running("s1");
    await journal.durable();
    expect(journal.sandbox("s1")?.userData).toBeUndefined();
    expect(onDisk()).not.toContain("TOP-SECRET-USER-DATA");
    expect(journal.sandbox("s1")?.clientKeyPem?.reveal()).toBe("TOP-SECRET-CLIENT-KEY");
    journal.recordStop("s1");
    journal.vmGone("podvm-web-s1");
    expect(onDisk()).toContain("TOP-SECRET-CLIENT-KEY");
    journal.sandboxGone("s1");
    await journal.durable();
    expect(onDisk()).not.toContain("TOP-SECRET");
    journal.close();
    expect(readFileSync(path(), "latin1")).not.toContain("TOP-SECRET");
  });

  test("goes on when somebody reads while a secret is to leave the disk", async () => {
    const journal = open();
    fill(journal, "s1");
    const reader = new DatabaseSync(path(), { readOnly: true });
    reader.exec("BEGIN; SELECT * FROM sandboxes");
    journal.recordStop("s1");
    journal.sandboxGone("s1");
    await journal.durable();
    reader.close();
    fill(journal, "s2");
    journal.recordStop("s2");
    journal.sandboxGone("s2");
    await journal.durable();
    expect(onDisk()).not.toContain("TOP-SECRET");
    journal.close();
  });

  test("never shows a secret when a record is printed", () => {
    const journal = open();
    fill(journal, "s1");
    expect(JSON.stringify(journal.sandboxes())).not.toContain("TOP-SECRET");
    journal.close();
  });

  test("gives epochs that rise, and are above those of a journal that was lost", () => {
    const journal = open();
    const first = journal.nextEpoch();
    expect(journal.nextEpoch()).toBeGreaterThan(first);
    expect(first).toBeGreaterThan(1_700_000_000);
    journal.close();
  });

  test("refuses a damaged file and says what to do", () => {
    open().close();
    writeFileSync(path(), Buffer.alloc(8192, 0x5a));
    expect(() => open()).toThrow(
      expect.objectContaining({ code: 15, message: expect.stringContaining("journal check") }),
    );
  });

  test("sets rows aside that make no sense: they keep their slots, and people are told", () => {
    const journal = open();
    for (const id of ["s1", "s2"]) {
      fill(journal, id);
      journal.beginStart(id, { name: `podvm-web-${id}`, provider: "mock", tags: {} });
    }
    fill(journal, "s3");
    journal.pool.intend(
      { name: "podvm-pool-1", kind: "default", provider: "mock", tags: {}, limit: -1 },
      () => 0,
    );
    journal.withDatabase((db) => {
      db.exec("UPDATE vms SET addresses_json = '[1]' WHERE sandbox_id = 's1'");
      db.exec("UPDATE sandboxes SET phase = 'dancing' WHERE id = 's3'");
      db.exec("UPDATE pool SET phase = 'swimming'");
    });
    expect(journal.sandboxes().map(({ id }) => id)).toEqual(["s1", "s2"]);
    expect(journal.sandbox("s3")).toBeUndefined();
    expect(journal.vms().map(({ name }) => name)).toEqual(["podvm-web-s2"]);
    expect(journal.vmOf("s1")).toBeUndefined();
    expect(journal.pool.vms()).toEqual([]);
    expect(journal.pool.yieldingWithin()).toBeUndefined();
    expect(journal.usage()).toEqual({ used: 4, deleting: 0 });
    expect([...journal.setAside.vmNames()]).toEqual(["podvm-web-s1", "podvm-web-s2", "podvm-pool-1"]);
    expect(journal.setAside.hasSandbox("s3")).toBe(true);
    expect(() => journal.setAside.check("s1")).toThrow(/row podvm-web-s1 .*column addresses_json/);
    expect(() => journal.setAside.check("s3")).toThrow(/row s3 .*column phase/);
    expect(() => journal.setAside.check("s2")).not.toThrow();
    const problems = [
      /row s3 of the journal's table sandboxes/,
      /row podvm-web-s1 of the journal's table vms/,
      /row podvm-pool-1 of the journal's table pool/,
    ];
    const told = journal.setAside.list();
    expect(told).toEqual(
      problems.map((text) => expect.objectContaining({ problem: expect.stringMatching(text) })),
    );
    expect(inspectJournal(path())).toMatchObject({
      sandboxes: [{ id: "s1" }, { id: "s2" }],
      problems: told.map(({ problem }) => problem),
    });
    journal.close();
  });

  test("needs no more than its name and id of a VM that is to go", () => {
    const journal = open();
    fill(journal, "s1");
    journal.beginStart("s1", { name: "podvm-web-s1", provider: "mock", tags: {} });
    journal.vmIdKnown("podvm-web-s1", "vm-1");
    journal.withDatabase((db) => db.exec("UPDATE vms SET tags_json = '', phase = 'dancing'"));
    expect(journal.vmOf("s1")).toBeUndefined();
    journal.recordStop("s1");
    expect(journal.vmOf("s1")).toMatchObject({ phase: "deleting", vmId: "vm-1", tags: {} });
    journal.close();
  });

  test("answers a full disk with an error that says what to do, and works again when there is room", () => {
    const journal = open();
    fill(journal, "s1");
    const limit = (pages: number): void =>
      journal.withDatabase((db) => db.exec(`PRAGMA max_page_count = ${pages}`));
    limit(1);
    expect(() => {
      for (let n = 0; n < 200; n++) fill(journal, `s-${n}-${"x".repeat(2000)}`);
    }).toThrow(expect.objectContaining({ code: 15, message: expect.stringContaining("disk") }));
    expect(journal.sandbox("s1")?.phase).toBe("created");
    limit(1_000_000);
    journal.recordStop("s1");
    expect(journal.isStopped("s1")).toBe(true);
    journal.close();
  });

  test("begins nothing new once its file was deleted or replaced, and still lets things end", () => {
    const journal = open();
    fill(journal, "s1");
    renameSync(path(), `${path()}.away`);
    const refused = expect.objectContaining({ code: 15, message: expect.stringContaining("deleted") });
    expect(() => fill(journal, "s2")).toThrow(refused);
    writeFileSync(path(), "");
    expect(() => fill(journal, "s2")).toThrow(refused);
    journal.recordStop("s1");
    expect(journal.sandbox("s1")?.phase).toBe("stopping");
    renameSync(`${path()}.away`, path());
    fill(journal, "s2");
    journal.close();
  });

  test("opens what a later release wrote if that says that it may, and refuses it otherwise", () => {
    open().close();
    const db = new DatabaseSync(path());
    db.exec(`PRAGMA user_version = ${SCHEMA_VERSION + 1}; ALTER TABLE sandboxes ADD COLUMN later TEXT`);
    db.close();
    const journal = open();
    fill(journal, "s1");
    expect(journal.sandbox("s1")?.phase).toBe("created");
    journal.close();
    const again = new DatabaseSync(path());
    again.exec(`UPDATE meta SET value = '${SCHEMA_VERSION + 1}' WHERE key = 'oldest_reader'`);
    again.close();
    expect(() => open()).toThrow(/newer release/);
  });
});

describe("the owner lock", () => {
  test("tells when its file was removed", () => {
    const lock = tryOwnerLock(stateDir);
    expect(lock?.isSound()).toBe(true);
    rmSync(join(stateDir, "lock.db"));
    expect(lock?.isSound()).toBe(false);
    lock?.release();
  });

  test("is held by one process at a time and freed by kill -9", async () => {
    // A lock that nothing refers to goes with the next garbage.
    const script = `import { tryOwnerLock } from ${JSON.stringify(new URL("index.ts", import.meta.url).href)};
      const lock = globalThis.lock = tryOwnerLock(${JSON.stringify(stateDir)}); console.log(lock === undefined ? "busy" : "mine"); setInterval(() => {}, 1000);`;
    const holder = spawn(process.execPath, [
      "--disable-warning=ExperimentalWarning",
      "--input-type=module",
      "-e",
      script,
    ]);
    const [line] = await once(holder.stdout, "data");
    expect(String(line).trim()).toBe("mine");
    expect(tryOwnerLock(stateDir)).toBeUndefined();
    holder.kill("SIGKILL");
    await once(holder, "exit");
    const mine = tryOwnerLock(stateDir);
    expect(mine).toBeDefined();
    mine?.release();
  });
});

describe("what it tells metrics", () => {
  test("sandboxes and VMs are counted by phase, and every write is told with its outcome", () => {
    const writes: boolean[] = [];
    const journal = Journal.open({ stateDir, clock: systemClock, onWrite: ({ ok }) => writes.push(ok) });
    fill(journal, "s1");
    fill(journal, "s2");
    journal.beginStart("s1", { name: "podvm-web-s1", provider: "mock", tags: {} });
    journal.recordStop("s1");
    journal.vmDeleteFailed("podvm-web-s1", "busy");
    const counts = journal.counts();
    expect(Object.fromEntries(counts.sandboxes)).toEqual({ created: 1, stopping: 1 });
    expect(Object.fromEntries(counts.vms)).toEqual({ deleting: 1 });
    expect(counts).toMatchObject({ deletesFailing: 1, slotsUsed: 2 });
    expect(counts.databaseBytes).toBeGreaterThan(0);
    expect(writes).toEqual(Array.from({ length: 7 }, () => true));
    journal.withDatabase((db) => db.exec("PRAGMA query_only = ON"));
    expect(() => journal.vmGone("podvm-web-s1")).toThrow(/cannot write to the journal/);
    expect(writes.at(-1)).toBe(false);
    journal.close();
  });
});
