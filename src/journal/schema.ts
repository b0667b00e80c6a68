import type { DatabaseSync } from "node:sqlite";
import { journalFailed } from "../errors/index.ts";

/** The newest layout that this release writes. */
export const SCHEMA_VERSION = 3;
/** The oldest release layout that can still work with what this release writes (rollback by one release). */
const OLDEST_READER = 1;

/** MIGRATIONS[n] leads from layout n to n + 1. They only add; what is no longer used goes one release later. */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE sandboxes (
    id TEXT PRIMARY KEY,
    phase TEXT NOT NULL,
    pod_name TEXT NOT NULL,
    pod_namespace TEXT NOT NULL,
    pod_uid TEXT,
    netns TEXT NOT NULL,
    request_json TEXT NOT NULL,
    vxlan_id INTEGER UNIQUE,
    vm_name TEXT NOT NULL,
    network_json TEXT,
    tunnel_json TEXT,
    server_name TEXT,
    ca_pem TEXT,
    client_cert_pem TEXT,
    client_key_pem TEXT,
    user_data TEXT,
    failure_json TEXT,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE vms (
    name TEXT PRIMARY KEY,
    sandbox_id TEXT,
    provider TEXT NOT NULL,
    vm_id TEXT,
    phase TEXT NOT NULL,
    tags_json TEXT NOT NULL,
    addresses_json TEXT,
    delete_attempts INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX vms_by_sandbox ON vms (sandbox_id);
  CREATE TABLE stops (sandbox_id TEXT PRIMARY KEY, stopped_ms INTEGER NOT NULL) STRICT;
  `,
  "ALTER TABLE sandboxes ADD COLUMN volumes_json TEXT",
  `
  ALTER TABLE vms ADD COLUMN user_data_due INTEGER NOT NULL DEFAULT 0;
  CREATE TABLE pool (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    provider TEXT NOT NULL,
    vm_id TEXT,
    phase TEXT NOT NULL,
    tags_json TEXT NOT NULL,
    addresses_json TEXT,
    created_ms INTEGER NOT NULL
  ) STRICT;
  `,
];

const userVersion = (db: DatabaseSync): number =>
  Number(db.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);

/** Brings the database to this release's layout. Throws `journal` for one that a later release made incompatible. */
export function migrate(db: DatabaseSync): void {
  const found = userVersion(db);
  if (found > SCHEMA_VERSION) {
    const oldest = Number(
      db.prepare("SELECT value FROM meta WHERE key = 'oldest_reader'").get()?.["value"] ?? found,
    );
    if (oldest > SCHEMA_VERSION) {
      throw journalFailed(
        `the journal has layout ${found}, which needs a release that reads layout ${oldest} (this one reads up to ${SCHEMA_VERSION}); start the newer release, or drain the node first`,
      );
    }
    return;
  }
  for (let version = found; version < SCHEMA_VERSION; version++) {
    const migration = MIGRATIONS[version];
    if (migration === undefined)
      throw journalFailed(`no way from journal layout ${version} to ${version + 1}`);
    db.exec("BEGIN IMMEDIATE");
    try {
      db.exec(migration);
      db.prepare("INSERT OR REPLACE INTO meta (key, value) VALUES ('oldest_reader', ?)").run(
        String(OLDEST_READER),
      );
      db.exec(`PRAGMA user_version = ${version + 1}`);
      db.exec("COMMIT");
    } catch (error) {
      db.exec("ROLLBACK");
      throw error;
    }
  }
}
