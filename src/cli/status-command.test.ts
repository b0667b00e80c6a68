import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type AdminRoute, type AdminServer, json, type Status, serveAdmin } from "../admin/index.ts";
import { silentLog } from "../platform/index.ts";
import { showStatus, watchStatus } from "./status-command.ts";

const STATUS: Status = {
  schema: 1,
  at: "2026-01-01T00:00:00.000Z",
  program: { version: "0.1.0", node: "v24", pid: 1, startedAt: "2026-01-01T00:00:00.000Z" },
  provider: "mock",
  nodeName: "n",
  clusterId: "",
  stage: "attaching",
  ready: false,
  live: true,
  reasons: ["waiting for the shim-proxy"],
  epoch: 1,
  shimProxy: { socket: "/s", attached: false, instanceId: null, version: null },
  limit: { most: 10, used: 0, deleting: 0, pool: 0 },
  logLevel: "info",
  configuration: {
    source: "environment",
    trouble: null,
    changedAt: null,
    wrong: [],
    unknown: [],
    needRestart: [],
    overridden: [],
  },
  cluster: null,
  pods: [],
  otherVms: [],
};

let dir = "";
let socket = "";
let server: AdminServer | undefined;

async function serve(answer: object): Promise<void> {
  const route: AdminRoute = { method: "GET", path: "/status", handle: () => json(answer) };
  server = await serveAdmin(socket, [route], { log: silentLog });
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "status-"));
  socket = join(dir, "admin.sock");
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  rmSync(dir, { recursive: true });
});

test("scripts see by the exit status whether the adaptor is ready, and JSON as it was answered", async () => {
  const written: string[] = [];
  await serve({ ...STATUS, addedLater: true });
  expect(await showStatus(socket, true, (text) => written.push(text))).toBe(1);
  expect(JSON.parse(written.join(""))).toEqual({ ...STATUS, addedLater: true });
  await server?.close();
  await serve({ ...STATUS, ready: true });
  expect(await showStatus(socket, false, () => undefined)).toBe(0);
});

test("an answer of another schema is refused with the place that is not understood", async () => {
  await serve({ ...STATUS, limit: { most: "ten" } });
  await expect(showStatus(socket, false, () => undefined)).rejects.toThrow(/limit\.most.*another release/);
});

test("watching gives one JSON document a line, goes on while no adaptor answers, and ends with 0", async () => {
  const stop = new AbortController();
  const lines: string[] = [];
  const once = (into: string[], controller: AbortController) => (text: string) => {
    into.push(text);
    controller.abort();
  };
  const watch = { socket, asJson: true };
  expect(await watchStatus({ ...watch, write: once(lines, stop), stop: stop.signal })).toBe(0);
  expect(JSON.parse(lines[0] ?? "")).toEqual({ error: expect.stringContaining("no adaptor answers") });
  await serve(STATUS);
  const again = new AbortController();
  const more: string[] = [];
  const status = await watchStatus({ ...watch, write: once(more, again), stop: again.signal });
  expect([status, more.join("")]).toEqual([0, `${JSON.stringify(STATUS)}\n`]);
});
