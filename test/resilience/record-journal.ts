// Records a journal with a sandbox in each phase, of real pods, as SQL on standard output:
//   node test/resilience/record-journal.ts > test/fixtures/journal/vN.sql
// Run once for each layout, before its release; as root. Keys are left out.
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type SQLOutputValue } from "node:sqlite";
import { isInside, isRoot, prepareNamespaces, rerunInNamespaces } from "../node/namespaces.ts";
import { Stage } from "./stage.ts";

const never = new AbortController().signal;

async function record(): Promise<void> {
  const first = stage.control(["-orphan-grace=1h"]);
  await stage.runPod();
  const stopping = stage.newPod().pod;
  await stopping.create();
  await stopping.start();
  await stage.cloud.fault({ operation: "delete", kind: "unauthorised", count: 100_000 }, never);
  stage.node.shim.stopVm(stopping.id).catch(() => undefined);
  await stage.journalHas("SELECT 1 FROM vms WHERE phase = 'deleting' AND delete_attempts > 0");
  const failing = stage.newPod().pod;
  await failing.create();
  await stage.cloud.fault({ operation: "create", kind: "capacity" }, never);
  await failing.start().catch(() => undefined);
  await stage.newPod().pod.create();
  await stage.cloud.settings({ bootDelayMs: 600_000 }, never);
  const starting = stage.newPod().pod;
  await starting.create();
  starting.start().catch(() => undefined);
  await stage.journalHas("SELECT 1 FROM vms WHERE phase = 'created'");
  await first.kill("SIGKILL");
  const points = join(stage.node.dir, "points");
  appendFileSync(points, "");
  const second = stage.control(["-pod-vm-pool=1"], {
    PEERPODS_TEST_POINTS_FILE: points,
    PEERPODS_TEST_STOP_AT: "journal.created before",
  });
  await stage.journalHas("SELECT 1 FROM pool WHERE phase = 'created'");
  stage
    .newPod()
    .pod.create()
    .catch(() => undefined);
  await stage.journalHas("SELECT 1 FROM sandboxes WHERE phase = 'creating'");
  await second.kill("SIGKILL");
}

/** Whatever holds a private key, its text aside. */
const withoutKeys = (text: string): string =>
  text.replaceAll(
    /-----BEGIN PRIVATE KEY-----[^-]*-----END PRIVATE KEY-----/g,
    "-----BEGIN PRIVATE KEY-----(left out)-----END PRIVATE KEY-----",
  );

function literal(value: SQLOutputValue | undefined): string {
  if (value === null || value === undefined) return "NULL";
  if (typeof value !== "string") return String(value);
  return `'${withoutKeys(value).replaceAll("'", "''")}'`;
}

function dump(path: string): string {
  using db = new DatabaseSync(path);
  const schema = db.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").all();
  const tables = ["meta", "sandboxes", "vms", "stops", "pool"];
  const rows = tables.flatMap((table) =>
    db
      .prepare(`SELECT * FROM ${table} ORDER BY rowid`)
      .all()
      .map((row) => {
        const columns = Object.keys(row).join(", ");
        return `INSERT INTO ${table} (${columns}) VALUES (${Object.values(row).map(literal).join(", ")})`;
      }),
  );
  const version = Number(db.prepare("PRAGMA user_version").get()?.["user_version"]);
  return [...schema.map((row) => String(row["sql"])), ...rows, `PRAGMA user_version = ${version}`, ""].join(
    ";\n",
  );
}

if (!isRoot) throw new Error("recording needs root: a pod's network is part of the journal");
if (!isInside) process.exit(rerunInNamespaces(import.meta.filename, []));
prepareNamespaces();
const stage = await Stage.open();
await record();
process.stdout.write(dump(join(stage.node.stateDir, "journal.db")));
await stage[Symbol.asyncDispose]();
process.exit(0);
