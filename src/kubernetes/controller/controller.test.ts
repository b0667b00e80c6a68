import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FakeProvider } from "../../../test/fakes/fake-provider.ts";
import { FakeApi, type FakeApiServer, serveFakeApi } from "../../../test/fakes/kubernetes/index.ts";
import { silentLog, systemClock } from "../../platform/index.ts";
import { ClusterClient, PEER_POD_FINALIZER } from "../client/index.ts";
import { Controller } from "./controller.ts";
import { serveHealth } from "./health-server.ts";
import { LEASE_NAME } from "./names.ts";
import type { ControllerNotice } from "./notices.ts";

const PEER_PODS = "peerpods.confidentialcontainers.org";
const LEASES = "leases.coordination.k8s.io";

/** A controller on the fake API server, and what it said. */
class Running {
  readonly controller: Controller;
  readonly notices: ControllerNotice[] = [];
  readonly done: Promise<void>;
  readonly #ending = new AbortController();
  #waiting: (() => void)[] = [];

  constructor(client: ClusterClient, provider: FakeProvider, identity: string) {
    const observe = (notice: ControllerNotice): void => {
      this.notices.push(notice);
      for (const wake of this.#waiting.splice(0)) wake();
    };
    const options = {
      namespace: "system",
      clusterId: "cluster-1",
      runtimeClassName: "kata-remote",
      shimProxyDaemonSet: "peerpods-shim-proxy",
      replacesShimProxies: false,
      sweepIntervalMs: 300_000,
      graceMs: 600_000,
      orphanGraceMs: 3_600_000,
      budget: 10,
      isDryRun: false,
    };
    this.controller = new Controller(
      { client, provider, clock: systemClock, log: silentLog, observe, options },
      identity,
    );
    this.done = this.controller.run(this.#ending.signal);
  }

  /** Resolves with the first notice, past or to come, for which `is` holds. */
  async noticed(is: (notice: ControllerNotice) => boolean): Promise<ControllerNotice> {
    for (;;) {
      const found = this.notices.find(is);
      if (found !== undefined) return found;
      await Promise.race([new Promise<void>((resolve) => this.#waiting.push(resolve)), this.done]);
    }
  }

  async end(): Promise<void> {
    this.#ending.abort(new Error("ended"));
    await this.done;
  }
}

const isLeading = (notice: ControllerNotice): boolean => notice.kind === "leader" && notice.isLeader;
const isReleased = (notice: ControllerNotice): boolean =>
  notice.kind === "peer-pod" && notice.action === "released";

let api: FakeApi;
let server: FakeApiServer;
let client: ClusterClient;
let provider: FakeProvider;
const started: Running[] = [];

beforeEach(async () => {
  api = new FakeApi();
  api.put("nodes", { metadata: { name: "n1" } });
  server = await serveFakeApi(api);
  client = await ClusterClient.open({ clock: systemClock, log: silentLog, userAgent: "test" }, server.access);
  provider = new FakeProvider();
});

afterEach(async () => {
  await Promise.allSettled(started.splice(0).map((running) => running.end()));
  client[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

function start(identity: string): Running {
  const running = new Running(client, provider, identity);
  started.push(running);
  return running;
}

/** A PeerPod that is being deleted after its pod, with its VM. */
function lostPeerPod(name: string): void {
  const vm = { id: `id-${name}`, name: `podvm-${name}`, lifecycle: "running" as const, addresses: [] };
  provider.vms.set(vm.name, { ...vm, tags: { "peerpods-cluster": "cluster-1", "peerpods-node": "n1" } });
  const metadata = {
    name,
    namespace: "apps",
    finalizers: [PEER_POD_FINALIZER],
    deletionTimestamp: "2026-01-01T00:00:00Z",
    ownerReferences: [{ apiVersion: "v1", kind: "Pod", name, uid: "gone" }],
  };
  api.put(PEER_PODS, { metadata, spec: { cloudProvider: "fake", instanceID: vm.id } });
}

test("the leader sees to PeerPods that are there and that come, and tells what it sees", async () => {
  lostPeerPod("before");
  const one = start("one");
  await one.noticed(isReleased);
  expect(one.controller.isLeader).toBe(true);
  lostPeerPod("after");
  await one.noticed((notice) => isReleased(notice) && "name" in notice && notice.name === "apps/after");
  expect([...provider.vms.keys()]).toEqual([]);
  expect(api.all(PEER_PODS)).toEqual([]);
  expect(one.controller.obstacles()).toEqual([]);
  await one.noticed((notice) => notice.kind === "sweep");
});

test("a second one touches nothing until the first ends, and then goes on", async () => {
  const one = start("one");
  await one.noticed(isLeading);
  const two = start("two");
  lostPeerPod("first");
  await one.noticed(isReleased);
  expect(two.notices).toEqual([]);
  await one.end();
  lostPeerPod("second");
  await two.noticed(isReleased);
  expect(Object(api.get(LEASES, LEASE_NAME, "system")?.["spec"]).holderIdentity).toBe("two");
});

test("without a Node it says why it is not ready, and deletes nothing", async () => {
  api.remove("nodes", "n1");
  const one = start("one");
  await one.noticed((notice) => notice.kind === "peer-pods");
  expect(one.controller.obstacles().join()).toMatch(/no node at all|not been listed/);
  expect(provider.calls).toEqual([]);
});

test("a bug in a provider costs a look, not the controller, and the lease is given back at the end", async () => {
  provider.list = () => Promise.reject(new TypeError("a bug"));
  const one = start("one");
  await one.noticed((notice) => notice.kind === "sweep-failed");
  lostPeerPod("goes");
  await one.noticed(isReleased);
  await one.end();
  expect(Object(api.get(LEASES, LEASE_NAME, "system")?.["spec"]).holderIdentity).toBeUndefined();
});

describe("the health port", () => {
  test("tells the kubelet whether it lives, and whether it is ready and leads", async () => {
    let obstacles: readonly string[] = [];
    await using health = await serveHealth(0, () => ({ isLeader: true, obstacles }));
    const get = async (path: string): Promise<{ status: number; body: unknown }> => {
      const answer = await fetch(`http://127.0.0.1:${health.port}${path}`);
      return { status: answer.status, body: await answer.json() };
    };
    expect(await get("/healthz")).toMatchObject({ status: 200 });
    expect(await get("/readyz?verbose")).toEqual({
      status: 200,
      body: { ok: true, isLeader: true, reasons: ["leading"] },
    });
    obstacles = ["the lease cannot be read or written"];
    expect(await get("/readyz")).toMatchObject({ status: 503, body: { ok: false, reasons: obstacles } });
    expect(await get("/healthz")).toMatchObject({ status: 200 });
    expect(await get("/")).toMatchObject({ status: 404 });
  });

  test("that is taken is told by its variable", async () => {
    await using first = await serveHealth(0, () => ({ isLeader: false, obstacles: [] }));
    await expect(serveHealth(first.port, () => ({ isLeader: false, obstacles: [] }))).rejects.toThrow(
      "PEERPODS_CONTROLLER_HEALTH_PORT",
    );
  });
});
