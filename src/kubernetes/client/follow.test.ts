import { afterEach, beforeEach, expect, test } from "vitest";
import { eagerClock } from "../../../test/fakes/eager-clock.ts";
import { FakeApi, type FakeApiServer, failure, serveFakeApi } from "../../../test/fakes/kubernetes/index.ts";
import { type Clock, type Log, silentLog } from "../../platform/index.ts";
import { ClusterClient } from "./client.ts";
import { type FollowHandler, follow } from "./follow.ts";
import { type ApiObject, NODES, type Node, PEER_PODS, type Resource } from "./resources.ts";

const deps = { clock: eagerClock, log: silentLog, userAgent: "test" };

let api: FakeApi;
let server: FakeApiServer;
let client: ClusterClient;
let stop: AbortController;
let following: Promise<void> | undefined;

beforeEach(async () => {
  api = new FakeApi();
  server = await serveFakeApi(api);
  client = await ClusterClient.open(deps, server.access);
  stop = new AbortController();
});

afterEach(async () => {
  stop.abort();
  await following;
  client[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

/** What the follower believes, and a way to wait for it. */
class Seen<T extends { readonly metadata: { readonly name: string } }> implements FollowHandler<T> {
  readonly objects = new Map<string, T>();
  readonly troubles: (string | undefined)[] = [];
  lists = 0;
  #wake: () => void = () => undefined;

  put(object: T): void {
    this.objects.set(object.metadata.name, object);
    this.#wake();
  }
  removed(object: T): void {
    this.objects.delete(object.metadata.name);
    this.#wake();
  }
  synced(): void {
    this.lists++;
    this.#wake();
  }
  trouble(error: Error | undefined): void {
    this.troubles.push(error?.message);
    this.#wake();
  }
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => (this.#wake = resolve));
  }
}

function start<T extends ApiObject>(resource: Resource<T>, log: Log = silentLog): Seen<T> {
  const seen = new Seen<T>();
  following = follow({ client, clock: eagerClock, log }, { resource, query: {} }, seen, stop.signal);
  return seen;
}

const putNode = (name: string, vms: string): void => {
  api.put("nodes", { metadata: { name }, status: { capacity: { vm: vms } } });
};
const vmsOf = (node: Node | undefined): string | undefined => node?.status?.capacity?.["vm"];

test("tells what is there, what changes and what goes", async () => {
  putNode("a", "1");
  const seen = start(NODES);
  await seen.until(() => seen.lists === 1);
  expect([...seen.objects.keys()]).toEqual(["a"]);
  putNode("b", "1");
  await seen.until(() => seen.objects.has("b"));
  putNode("a", "2");
  await seen.until(() => vmsOf(seen.objects.get("a")) === "2");
  api.remove("nodes", "a");
  await seen.until(() => !seen.objects.has("a"));
});

test("goes on from where it was when the API server ends the watch", async () => {
  const seen = start(NODES);
  await seen.until(() => seen.lists === 1);
  putNode("a", "1");
  await seen.until(() => seen.objects.has("a"));
  api.endWatches();
  putNode("b", "1");
  await seen.until(() => seen.objects.has("b"));
  expect(seen.lists).toBe(1);
});

test("outlives a restart of the API server, and says so once", async () => {
  const seen = start(NODES);
  await seen.until(() => seen.lists === 1);
  putNode("a", "1");
  putNode("b", "1");
  await seen.until(() => seen.objects.size === 2);
  await server.stop();
  api.remove("nodes", "a");
  await seen.until(() => seen.troubles.length === 1);
  await server.start();
  await seen.until(() => !seen.objects.has("a"));
  expect(seen.troubles.at(-1)).toBeUndefined();
});

test("lists again when its version is too old, and tells what went in between", async () => {
  putNode("a", "1");
  const seen = start(NODES);
  await seen.until(() => seen.lists === 1);
  api.fail({ verb: "watch", times: 1, answer: failure(410, "Expired", "too old") });
  api.endWatches();
  api.remove("nodes", "a");
  api.compact();
  await seen.until(() => !seen.objects.has("a"));
  expect(seen.lists).toBeGreaterThan(1);
});

test("an ERROR event with 410 is a list again too", async () => {
  const seen = start(NODES);
  await seen.until(() => seen.lists === 1);
  putNode("a", "1");
  await seen.until(() => seen.objects.has("a"));
  await server.stop();
  api.remove("nodes", "a");
  api.compact();
  await server.start();
  await seen.until(() => !seen.objects.has("a"));
});

test("a bookmark moves its version on, so that compaction costs no list", async () => {
  const seen = start(NODES);
  await seen.until(() => seen.lists === 1);
  // Others' changes, which this watch does not see.
  for (let n = 0; n < 10; n++) api.put("secrets", { metadata: { name: `s${n}`, namespace: "a" } });
  api.bookmark();
  putNode("a", "1");
  await seen.until(() => seen.objects.has("a"));
  api.compact();
  api.endWatches();
  putNode("b", "1");
  await seen.until(() => seen.objects.has("b"));
  expect(seen.lists).toBe(1);
});

test("is well again when a watch that was refused stays open, though nothing ever changes", async () => {
  api.fail({
    verb: "watch",
    answer: failure(429, "TooManyRequests", "storage is (re)initializing"),
    times: 1,
  });
  const seen = new Seen<Node>();
  // A watch has been open for long enough at once; what ends a dead one is far away.
  const clock: Clock = {
    ...eagerClock,
    schedule: (ms, fn) => eagerClock.schedule(ms <= 10_000 ? 0 : ms, fn),
  };
  following = follow({ client, clock, log: silentLog }, { resource: NODES, query: {} }, seen, stop.signal);
  await seen.until(() => seen.troubles.length === 2);
  expect(seen.troubles[0]).toContain("storage is (re)initializing");
  expect(seen.troubles[1]).toBeUndefined();
  expect(seen.lists).toBe(1);
});

test("waits for a CRD that is not installed yet", async () => {
  api.resources.delete("peerpods.confidentialcontainers.org");
  const seen = start(PEER_PODS);
  await seen.until(() => seen.troubles.length === 1);
  api.resources.add("peerpods.confidentialcontainers.org");
  await seen.until(() => seen.lists === 1);
  expect(seen.troubles).toHaveLength(2);
});

test("a handler that throws and an object that cannot be read end nothing", async () => {
  const lines: string[] = [];
  const log: Log = { ...silentLog, warn: (text) => lines.push(text), error: (text) => lines.push(text) };
  client[Symbol.dispose]();
  client = await ClusterClient.open({ clock: eagerClock, log, userAgent: "test" }, server.access);
  api.put("nodes", { metadata: { name: "odd", labels: { a: 1 } } });
  const seen = start(NODES, log);
  const put = seen.put.bind(seen);
  seen.put = (node) => {
    put(node);
    if (node.metadata.name === "a") throw new Error("a bug");
  };
  await seen.until(() => seen.lists === 1);
  putNode("a", "1");
  putNode("b", "1");
  await seen.until(() => seen.objects.has("b"));
  expect([...seen.objects.keys()]).toEqual(["a", "b"]);
  expect(lines.some((line) => line.includes("/odd cannot be read"))).toBe(true);
  expect(lines.some((line) => line.includes("could not be handled"))).toBe(true);
});

test("ends when it is told to, whatever it is doing", async () => {
  const seen = start(NODES);
  await seen.until(() => seen.lists === 1);
  stop.abort();
  await following;
  const before = new AbortController();
  before.abort();
  await follow(
    { client, clock: eagerClock, log: silentLog },
    { resource: NODES, query: {} },
    seen,
    before.signal,
  );
  await server.stop();
  const during = new AbortController();
  const failing = new Seen<Node>();
  const ended = follow(
    { client, clock: eagerClock, log: silentLog },
    { resource: NODES, query: {} },
    failing,
    during.signal,
  );
  await failing.until(() => failing.troubles.length === 1);
  during.abort();
  await ended;
});

test("the pauses grow while it fails, and take the server's word", async () => {
  const pauses: number[] = [];
  const sleep: Clock["sleep"] = (ms, signal) => {
    pauses.push(ms);
    return eagerClock.sleep(ms, signal);
  };
  const clock: Clock = { ...eagerClock, sleep };
  const down = failure(503, "ServiceUnavailable", "starting");
  api.fail({ times: 8, answer: down });
  api.fail({
    times: 1,
    answer: { ...failure(429, "TooManyRequests", "slow"), headers: { "retry-after": "99" } },
  });
  const seen = new Seen<Node>();
  following = follow({ client, clock, log: silentLog }, { resource: NODES, query: {} }, seen, stop.signal);
  await seen.until(() => seen.lists === 1);
  expect(pauses).toHaveLength(9);
  expect(pauses[7]).toBeGreaterThan((pauses[0] ?? 0) * 10);
  expect(Math.max(...pauses.slice(0, 8))).toBeLessThanOrEqual(30_000);
  expect(pauses[8]).toBe(99_000);
});
