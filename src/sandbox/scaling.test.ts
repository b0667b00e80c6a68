import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import { expect, test } from "vitest";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";

const { signal } = new AbortController();

/** Pods that run already, as rows: what matters is how many there are. */
function fill(db: DatabaseSync, pods: number): void {
  db.exec("BEGIN");
  const sandbox = db.prepare(
    `INSERT INTO sandboxes (id, phase, pod_name, pod_namespace, netns, request_json, vxlan_id, vm_name, created_ms, changed_ms)
     VALUES (?, 'running', ?, 'default', '/n', '{}', ?, ?, 0, 0)`,
  );
  const vm = db.prepare(
    `INSERT INTO vms (name, sandbox_id, provider, vm_id, phase, tags_json, addresses_json, created_ms, changed_ms)
     VALUES (?, ?, 'fake', ?, 'running', '{}', '["10.0.0.1"]', 0, 0)`,
  );
  for (let n = 0; n < pods; n++) {
    sandbox.run(`old-${n}`, `pod-${n}`, 555_000 + n, `vm-${n}`);
    vm.run(`vm-${n}`, `old-${n}`, `id-${n}`);
  }
  db.exec("COMMIT");
}

interface Work {
  queries: number;
  /** That SQLite has handed over. */
  rows: number;
}

/** Counts what is asked of the database from now on. */
function countWork(db: DatabaseSync): Work {
  const work: Work = { queries: 0, rows: 0 };
  const prepare = db.prepare.bind(db);
  db.prepare = (sql) => {
    const statement = prepare(sql);
    const all = statement.all.bind(statement);
    const get = statement.get.bind(statement);
    const run = statement.run.bind(statement);
    const tell = <T>(result: T, rows: number): T => {
      work.queries++;
      work.rows += rows;
      return result;
    };
    return Object.assign(statement, {
      all: (...values: SQLInputValue[]) => {
        const rows = all(...values);
        return tell(rows, rows.length);
      },
      get: (...values: SQLInputValue[]) => {
        const row = get(...values);
        return tell(row, row === undefined ? 0 : 1);
      },
      run: (...values: SQLInputValue[]) => tell(run(...values), 0),
    });
  };
  return work;
}

async function workOfOnePod(beside: number): Promise<Work & { readonly writes: readonly string[] }> {
  const writes: string[] = [];
  using node = new FakeSandboxes({ limit: 1000 }, (operation, phase) => {
    if (phase === "after") writes.push(operation);
  });
  const pooling = new AbortController();
  const pool = node.manager.keepPool(pooling.signal);
  writes.length = 0; // The pool remembers for what VMs it is.
  let work: Work = { queries: 0, rows: 0 };
  node.journal.withDatabase((db) => {
    fill(db, beside);
    work = countWork(db);
  });
  await node.manager.create(node.request("new"), signal);
  await node.manager.start("new", signal);
  await node.manager.stop("new", signal);
  pooling.abort();
  await pool.catch(() => undefined);
  return { ...work, writes };
}

test("a pod takes the same queries and rows beside 20 others and beside 500, and few commits", async () => {
  const [few, many] = [await workOfOnePod(20), await workOfOnePod(500)];
  expect(many).toEqual(few);
  expect(few.writes).toEqual([
    ...["reserve", "created"],
    ...["begin-start", "vm-id-known", "vm-running", "tunnel-intended", "running"],
    ...["record-stop", "tunnel-gone", "vm-gone", "sandbox-gone"],
  ]);
});
