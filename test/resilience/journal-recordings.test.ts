import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isCaaError } from "../../src/errors/index.ts";
import { inspectJournal, Journal } from "../../src/journal/index.ts";
import { SCHEMA_VERSION } from "../../src/journal/schema.ts";
import { type Exec, silentLog } from "../../src/platform/index.ts";
import { kernelNetworking, SandboxManager } from "../../src/sandbox/index.ts";
import { reconcile } from "../../src/sandbox/recovery.ts";
import { parseJournaledRequest } from "../../src/sandbox/request.ts";
import { ShimWatch } from "../../src/sandbox/shim-watch.ts";
import { FakeSandboxes } from "../fakes/fake-sandboxes.ts";

const FIXTURES = new URL("../fixtures/journal/", import.meta.url);
const PHASES = ["created", "creating", "failed", "running", "starting", "stopping"];
const NETWORK = {
  hostInterface: "",
  vxlanPort: 4789,
  externalNetworkViaPodVm: false,
  podSubnetCidrs: [],
  tunnelType: "vxlan",
};
/** A machine without the devices that the recordings name. */
const nothingThere: Exec = { run: async () => ({ code: 1, stdout: "", stderr: "there is no such thing" }) };
const never = new AbortController().signal;

const recordings = readdirSync(FIXTURES)
  .filter((name) => name.endsWith(".sql"))
  .sort();

let stateDir: string;

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "recorded-"));
});

afterEach(() => {
  rmSync(stateDir, { recursive: true });
});

/** The recording as a file on disk, as the release of that layout left it. */
function restore(name: string): string {
  const path = join(stateDir, "journal.db");
  using db = new DatabaseSync(path);
  db.exec(readFileSync(new URL(name, FIXTURES), "utf8"));
  return path;
}

function openRecorded(name: string, node: FakeSandboxes): Journal {
  restore(name);
  return Journal.open({ stateDir, clock: node.clock });
}

test("there is a recording of this release's layout, and of all before", () => {
  const layouts = Array.from({ length: SCHEMA_VERSION }, (_, n) => `v${n + 1}.sql`);
  expect(recordings).toEqual(layouts);
});

describe.each(recordings)("the journal %s", (name) => {
  test("opens with a sandbox in each phase, and every row is understood", () => {
    using node = new FakeSandboxes();
    const journal = openRecorded(name, node);
    const sandboxes = journal.sandboxes();
    expect(sandboxes.map(({ phase }) => phase).sort()).toEqual(PHASES);
    expect(
      journal
        .vms()
        .map(({ phase }) => phase)
        .sort(),
    ).toEqual(["created", "deleting", "running"]);
    // Three VMs, one of them deleting, and the slots of creating and created; from layout 3 on one that waits for a pod.
    const pooled = journal.pool.vms().map(({ phase }) => phase);
    expect(pooled).toEqual(["v1.sql", "v2.sql"].includes(name) ? [] : ["created"]);
    expect(journal.usage()).toEqual({ used: 5 + pooled.length, deleting: 1 });
    for (const { id, requestJson } of sandboxes) {
      expect(parseJournaledRequest(requestJson)).toMatchObject({ sandboxId: id });
    }
    const running = sandboxes.find(({ phase }) => phase === "running");
    expect(running?.clientKeyPem?.reveal()).toContain("PRIVATE KEY");
    expect(sandboxes.find(({ phase }) => phase === "failed")?.failure?.kind).toBe("capacity");
    journal.close();
    expect(inspectJournal(join(stateDir, "journal.db"))).toMatchObject({
      layout: SCHEMA_VERSION,
      problems: [],
    });
  });

  test("holds networks and tunnels that can still be told to a VM and taken down", async () => {
    using node = new FakeSandboxes();
    const journal = openRecorded(name, node);
    const networking = kernelNetworking({ exec: nothingThere, log: silentLog }, NETWORK);
    for (const { networkJson, tunnelJson, vxlanId } of journal.sandboxes()) {
      if (networkJson === undefined || vxlanId === undefined) continue;
      expect(networking.describe(networkJson, vxlanId)).toMatchObject({
        "vxlan-id": vxlanId,
        interface: "eth0",
      });
      expect(networking.dedicated(networkJson)).toBe(false);
      if (tunnelJson === undefined) continue;
      const outcome: unknown = await networking.tearDown(tunnelJson, never).catch((error: unknown) => error);
      expect(isCaaError(outcome, "journal")).toBe(false);
    }
    journal.close();
  });

  test("can be ended pod by pod after a reboot", async () => {
    using node = new FakeSandboxes();
    const journal = openRecorded(name, node);
    const deps = { ...node.deps, journal };
    const manager = new SandboxManager(deps);
    const snapshot = {
      instanceId: "next",
      apiVersion: 1,
      programVersion: "next",
      sandboxes: [],
      heldCalls: [],
      callersLeft: [],
      owedStops: [],
    };
    const parts = { deps, manager, watch: new ShimWatch(deps, manager) };
    await reconcile(parts, { snapshot, sameBoot: false, sameProxy: false }, never);
    manager.keepPool(never).catch(() => undefined);
    await node.clock.advance(60_000);
    expect(journal.pool.vms()).toEqual([]);
    expect(journal.sandboxes()).toEqual([]);
    expect(journal.vms()).toEqual([]);
    await manager.shutDown();
    journal.close();
  });
});
