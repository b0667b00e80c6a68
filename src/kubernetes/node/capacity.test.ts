import { afterEach, beforeEach, expect, test } from "vitest";
import { eagerClock } from "../../../test/fakes/eager-clock.ts";
import { FakeApi, type FakeApiServer, failure, serveFakeApi } from "../../../test/fakes/kubernetes/index.ts";
import { type Log, silentLog } from "../../platform/index.ts";
import { ClusterClient } from "../client/index.ts";
import { type CapacityOptions, NodeCapacity } from "./capacity.ts";
import { limitOf, OWNER_ANNOTATION, planCapacity, VM_RESOURCE } from "./capacity-plan.ts";

const never = new AbortController().signal;

let api: FakeApi;
let server: FakeApiServer;
let client: ClusterClient;
const stop: AbortController[] = [];
const running: Promise<void>[] = [];

beforeEach(async () => {
  api = new FakeApi();
  server = await serveFakeApi(api);
  client = await ClusterClient.open({ clock: eagerClock, log: silentLog, userAgent: "test" }, server.access);
  api.put("nodes", { metadata: { name: "n" }, status: { capacity: { cpu: "2" } } });
});

afterEach(async () => {
  for (const one of stop.splice(0)) one.abort();
  await Promise.all(running.splice(0));
  client[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

function start(uid: string, options: Partial<CapacityOptions> = {}, log: Log = silentLog) {
  const abort = new AbortController();
  const capacity = new NodeCapacity(
    { client, clock: eagerClock, log },
    {
      nodeName: "n",
      pod: { uid, namespace: "own", name: "" },
      limit: () => 10,
      onNodeLimit: () => undefined,
      ...options,
    },
  );
  stop.push(abort);
  const ended = capacity.run(abort.signal);
  running.push(ended);
  return {
    capacity,
    async end() {
      abort.abort();
      await ended;
    },
  };
}

const node = (): { owner?: unknown; vms?: unknown } => {
  const object = JSON.parse(JSON.stringify(api.get("nodes", "n") ?? {}));
  return {
    owner: object.metadata?.annotations?.[OWNER_ANNOTATION],
    vms: object.status?.capacity?.[VM_RESOURCE],
  };
};

/** Waits for the Node to be so, as its watchers see it. */
async function until(condition: (now: ReturnType<typeof node>) => boolean): Promise<void> {
  while (!condition(node())) await api.changed();
}

const putCapacity = (vms: string | undefined, annotations: Record<string, string> = {}): void => {
  const current = JSON.parse(JSON.stringify(api.get("nodes", "n")));
  api.put("nodes", {
    metadata: { ...current.metadata, annotations: { ...current.metadata.annotations, ...annotations } },
    status: { capacity: { cpu: "2", ...(vms !== undefined && { [VM_RESOURCE]: vms }) } },
  });
};

test("claims the node, then advertises the limit", async () => {
  start("a");
  await until((now) => now.vms === "10");
  expect(node().owner).toBe("a");
});

test("puts the capacity back when the kubelet zeroes or drops it", async () => {
  start("a");
  await until((now) => now.vms === "10");
  putCapacity("0");
  await until((now) => now.vms === "10");
  putCapacity(undefined);
  await until((now) => now.vms === "10");
});

test("a Node that is made anew is claimed again", async () => {
  start("a");
  await until((now) => now.vms === "10");
  api.remove("nodes", "n");
  api.put("nodes", { metadata: { name: "n" }, status: { capacity: { cpu: "2" } } });
  await until((now) => now.vms === "10" && now.owner === "a");
});

test("waits for a Node that is not registered yet, or has no status yet", async () => {
  api.remove("nodes", "n");
  start("a");
  api.put("nodes", { metadata: { name: "n" } });
  await until((now) => now.owner === "a");
  putCapacity(undefined);
  await until((now) => now.vms === "10");
});

test("a negative limit touches nothing, and 0 is advertised", async () => {
  const a = start("a", { limit: () => -1 });
  start("b", { limit: () => 0 });
  await until((now) => now.vms === "0");
  expect(node().owner).toBe("b");
  expect(api.calls.filter((call) => call.verb === "patch")).toHaveLength(2);
  await a.end();
  expect(await a.capacity.withdraw(never)).toBe("kept");
});

test("a limit that changes is advertised at once", async () => {
  let limit = 10;
  const { capacity } = start("a", { limit: () => limit });
  await until((now) => now.vms === "10");
  limit = 4;
  capacity.refresh();
  await until((now) => now.vms === "4");
});

test("the Node's own limit goes before the configured one, and is told", async () => {
  const told: (number | undefined)[] = [];
  start("a", { onNodeLimit: (limit) => told.push(limit) });
  await until((now) => now.vms === "10");
  putCapacity("10", { "kata.peerpods.io/limit": "3" });
  await until((now) => now.vms === "3");
  putCapacity("3", { "kata.peerpods.io/limit": "many" });
  await until((now) => now.vms === "10");
  expect(told).toEqual([undefined, 3, undefined]);
});

test("another adaptor that writes its name after us has the capacity from then on", async () => {
  const warnings: string[] = [];
  const a = start("a", {}, { ...silentLog, warn: (text) => warnings.push(text) });
  await until((now) => now.vms === "10");
  start("b", { limit: () => 7 });
  await until((now) => now.owner === "b" && now.vms === "7");
  putCapacity("0");
  await until((now) => now.vms === "7");
  await a.end();
  expect(await a.capacity.withdraw(never)).toBe("kept");
  expect(node()).toEqual({ owner: "b", vms: "7" });
  expect(warnings.filter((text) => text.includes("another adaptor"))).toHaveLength(1);
});

test("the one that ends last takes the capacity away", async () => {
  const a = start("a");
  await until((now) => now.vms === "10");
  await a.end();
  expect(await a.capacity.withdraw(never)).toBe("withdrawn");
  expect(node().vms).toBeUndefined();
});

test("a successor that claims between our look and our removal keeps the capacity", async () => {
  const a = start("a");
  await until((now) => now.vms === "10");
  await a.end();
  const before = api.handle.bind(api);
  api.handle = (request, response) => {
    if (request.method === "PATCH" && request.body.includes("remove"))
      putCapacity("10", { [OWNER_ANNOTATION]: "b" });
    return before(request, response);
  };
  expect(await a.capacity.withdraw(never)).toBe("kept");
  expect(node()).toEqual({ owner: "b", vms: "10" });
});

test("one that never owned the node takes nothing away", async () => {
  const a = start("a");
  await until((now) => now.vms === "10");
  const standby = new NodeCapacity(
    { client, clock: eagerClock, log: silentLog },
    {
      nodeName: "n",
      pod: { uid: "b", namespace: "own", name: "" },
      limit: () => 10,
      onNodeLimit: () => undefined,
    },
  );
  expect(await standby.withdraw(never)).toBe("kept");
  await a.end();
  expect(node()).toEqual({ owner: "a", vms: "10" });
});

test("the capacity stays when only the container is restarted, and goes with the pod", async () => {
  const pod = { uid: "a", namespace: "own", name: "adaptor-x" };
  api.put("pods", { metadata: { name: "adaptor-x", namespace: "own", uid: "a" }, spec: {} });
  const a = start("a", { pod });
  await until((now) => now.vms === "10");
  await a.end();
  expect(await a.capacity.withdraw(never)).toBe("kept");
  expect(node().vms).toBe("10");
  api.remove("pods", "adaptor-x", "own");
  expect(await a.capacity.withdraw(never)).toBe("withdrawn");
});

test("what is gone already counts as withdrawn", async () => {
  const a = start("a");
  await until((now) => now.vms === "10");
  await a.end();
  putCapacity(undefined);
  expect(await a.capacity.withdraw(never)).toBe("withdrawn");
});

test("without a pod's UID there is no owner, and the end always withdraws", async () => {
  const a = start("");
  await until((now) => now.vms === "10");
  expect(node().owner).toBeUndefined();
  await a.end();
  expect(await a.capacity.withdraw(never)).toBe("withdrawn");
});

test("an API server that refuses or fails is asked again", async () => {
  api.fail({ verb: "patch", resource: "nodes", times: 1, answer: failure(403, "Forbidden", "no") });
  api.fail({
    verb: "patch",
    resource: "nodes/status",
    times: 2,
    answer: failure(500, "InternalError", "etcd"),
  });
  start("a");
  await until((now) => now.vms === "10");
});

test("a plan needs no more than what the Node shows", () => {
  const metadata = { name: "n", uid: "u", resourceVersion: "1" };
  const mine = { ...metadata, annotations: { [OWNER_ANNOTATION]: "a" } };
  const state = { podUid: "a", limit: 5, claimed: true };
  expect(planCapacity({ metadata: mine }, { ...state, claimed: false })).toEqual({ step: "claim" });
  expect(planCapacity({ metadata }, state)).toEqual({ step: "claim" });
  expect(planCapacity({ metadata: mine }, state)).toEqual({ step: "advertise", value: "5" });
  expect(planCapacity({ metadata: mine, status: { capacity: { [VM_RESOURCE]: "5" } } }, state)).toMatchObject(
    {
      reason: "kept",
    },
  );
  expect(planCapacity({ metadata: mine }, { ...state, limit: -1 })).toMatchObject({ reason: "unlimited" });
  expect(planCapacity({ metadata: mine }, { ...state, podUid: "b" })).toMatchObject({ reason: "foreign" });
});

test.each([
  ["7", 7],
  [" -1 ", -1],
  ["", undefined],
  ["1.5", { invalid: "1.5" }],
])("limit %j of a Node reads as %j", (text, expected) => {
  const metadata = { name: "n", uid: "u", resourceVersion: "1", labels: { "kata.peerpods.io/limit": text } };
  expect(limitOf({ metadata })).toEqual(expected);
});
