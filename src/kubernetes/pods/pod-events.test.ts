import * as v from "valibot";
import { expect, test } from "vitest";
import { eagerClock } from "../../../test/fakes/eager-clock.ts";
import { FakeClock } from "../../../test/fakes/fake-clock.ts";
import { failure } from "../../../test/fakes/kubernetes/index.ts";
import { type Clock, type Log, silentLog } from "../../platform/index.ts";
import { EVENTS } from "../client/index.ts";
import { type PodEvent, PodEvents } from "./pod-events.ts";
import { TestCluster } from "./testing.ts";

const RESOURCE = "events.events.k8s.io";

const event = (note: string, change: Partial<PodEvent> = {}): PodEvent => ({
  pod: { namespace: "a", name: "p", uid: "u" },
  type: "Warning",
  reason: "PeerPodQuotaExceeded",
  action: "StartPodVM",
  note,
  ...change,
});

function start(cluster: TestCluster, clock: Clock = eagerClock, log: Log = silentLog): PodEvents {
  const events = new PodEvents({ client: cluster.client, clock, log }, "worker-1");
  cluster.run(events);
  return events;
}

const seen = (cluster: TestCluster) =>
  cluster.api.all(RESOURCE).map((object) => v.parse(EVENTS.schema, object));

test("an Event is about the very Pod, and says who reports", async () => {
  await using cluster = await TestCluster.start();
  start(cluster).record(event("no quota"));
  await cluster.until(() => seen(cluster).length === 1);
  expect(seen(cluster)[0]).toMatchObject({
    reason: "PeerPodQuotaExceeded",
    note: "no quota",
    type: "Warning",
    action: "StartPodVM",
    regarding: { kind: "Pod", name: "p", namespace: "a", uid: "u" },
    reportingController: "confidentialcontainers.org/cloud-api-adaptor",
    reportingInstance: "worker-1",
    eventTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
  });
});

test("the same again is one Event with a count; another text or pod is another", async () => {
  await using cluster = await TestCluster.start();
  const events = start(cluster);
  for (let n = 0; n < 3; n++) events.record(event("no quota"));
  events.record(event("no room"));
  events.record(event("no quota", { pod: { namespace: "a", name: "p", uid: "of the next p" } }));
  await cluster.until(() => seen(cluster).length === 3);
  expect(seen(cluster)[0]?.series?.count).toBe(3);
});

test("an Event that has expired in the cluster is made anew", async () => {
  await using cluster = await TestCluster.start();
  const events = start(cluster);
  events.record(event("no quota"));
  await cluster.until(() => seen(cluster).length === 1);
  cluster.api.remove(RESOURCE, seen(cluster)[0]?.metadata.name ?? "", "a");
  events.record(event("no quota"));
  await cluster.until(() => seen(cluster).length === 1);
});

test("after a while the same is a new Event", async () => {
  await using cluster = await TestCluster.start();
  const clock = new FakeClock();
  const events = start(cluster, clock);
  events.record(event("no quota"));
  await cluster.until(() => seen(cluster).length === 1);
  await clock.advance(11 * 60_000);
  events.record(event("no quota"));
  await cluster.until(() => seen(cluster).length === 2);
});

test("without a UID the Event is about the Pod that is there, and left out without one", async () => {
  await using cluster = await TestCluster.start();
  cluster.api.put("pods", { metadata: { name: "p", namespace: "a", uid: "present" }, spec: {} });
  const events = start(cluster);
  events.record(event("for nobody", { pod: { namespace: "a", name: "gone", uid: "" } }));
  events.record(event("no quota", { pod: { namespace: "a", name: "p", uid: "" } }));
  await cluster.until(() => seen(cluster).length === 1);
  expect(seen(cluster)[0]?.regarding?.uid).toBe("present");
});

test("a long text is cut at the API's limit, between characters", async () => {
  await using cluster = await TestCluster.start();
  start(cluster).record(event("ü".repeat(2000)));
  await cluster.until(() => seen(cluster).length === 1);
  const note = seen(cluster)[0]?.note ?? "";
  expect(Buffer.byteLength(note)).toBeLessThanOrEqual(1024);
  expect(note).toMatch(/^ü+…$/);
});

test("a pod name of any length gives a name that the API server takes", async () => {
  await using cluster = await TestCluster.start();
  start(cluster).record(event("x", { pod: { namespace: "a", name: "p".repeat(253), uid: "u" } }));
  await cluster.until(() => seen(cluster).length === 1);
  expect(seen(cluster)[0]?.metadata.name.length).toBeLessThanOrEqual(253);
});

test("a cluster that fails for a moment still gets the Event; one that refuses is told of once", async () => {
  await using cluster = await TestCluster.start();
  const warnings: string[] = [];
  const events = start(cluster, eagerClock, { ...silentLog, warn: (text) => warnings.push(text) });
  cluster.api.fail({ times: 2, answer: failure(503, "ServiceUnavailable", "starting") });
  events.record(event("first"));
  await cluster.until(() => seen(cluster).length === 1);
  cluster.api.fail({ verb: "create", times: 2, answer: failure(403, "Forbidden", "no") });
  events.record(event("second"));
  events.record(event("third"));
  events.record(event("fourth"));
  await cluster.until(() => seen(cluster).length === 2);
  expect(seen(cluster).map((one) => one.note)).toEqual(["first", "fourth"]);
  expect(warnings).toHaveLength(1);
});

test("an outage of the API server delays Events by its length, and loses those that are too old", async () => {
  await using cluster = await TestCluster.start();
  const clock = new FakeClock();
  const events = start(cluster, { ...eagerClock, wallMs: () => clock.wallMs() });
  await cluster.server.stop();
  events.record(event("old"));
  await clock.advance(16 * 60_000);
  events.record(event("new"));
  const at = new Date(clock.wallMs()).toISOString().slice(0, 19);
  await cluster.server.start();
  await cluster.until(() => seen(cluster).some((one) => one.note === "new"));
  expect(JSON.stringify(cluster.api.all(RESOURCE).at(-1))).toContain(`"eventTime":"${at}`);
});

test("too many at once: the oldest are left out, and that is said", async () => {
  await using cluster = await TestCluster.start();
  const said = Promise.withResolvers<void>();
  const log = { ...silentLog, warn: () => said.resolve() };
  const events = new PodEvents({ client: cluster.client, clock: eagerClock, log }, "worker-1");
  for (let n = 0; n < 205; n++) events.record(event(`note ${n}`));
  cluster.run(events);
  await cluster.until(() => cluster.api.all(RESOURCE).length === 200);
  await said.promise;
  expect(seen(cluster)[0]?.note).toBe("note 5");
});
