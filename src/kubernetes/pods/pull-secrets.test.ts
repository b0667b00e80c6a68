import { expect, test } from "vitest";
import { eagerClock } from "../../../test/fakes/eager-clock.ts";
import { FakeClock } from "../../../test/fakes/fake-clock.ts";
import { failure } from "../../../test/fakes/kubernetes/index.ts";
import { type Clock, type Log, silentLog } from "../../platform/index.ts";
import type { PodEvent } from "./pod-events.ts";
import { pullSecrets } from "./pull-secrets.ts";
import { TestCluster } from "./testing.ts";

const ref = { sandboxId: "s", podNamespace: "a", podName: "p", podUid: "u" };
const never = new AbortController().signal;
const base64 = (text: string): string => Buffer.from(text).toString("base64");

function setUp(cluster: TestCluster, clock: Clock = eagerClock) {
  const told: PodEvent[] = [];
  const logged: string[] = [];
  const note = (text: string): number => logged.push(text);
  const log: Log = { ...silentLog, warn: note, error: note, info: note };
  const secrets = pullSecrets({
    client: cluster.client,
    clock,
    log,
    events: { record: (event) => told.push(event) },
    limitBytes: 12_288,
  });
  return { secrets, told, logged };
}

const putPod = (cluster: TestCluster, names: readonly string[], spec: object = {}): void => {
  cluster.api.put("pods", {
    metadata: { name: "p", namespace: "a", uid: "u" },
    spec: {
      imagePullSecrets: names.map((name) => ({ name })),
      containers: [{ image: "r.example/x" }],
      ...spec,
    },
  });
};

const putSecret = (cluster: TestCluster, name: string, auths: Record<string, string>): void => {
  const entries = Object.fromEntries(Object.entries(auths).map(([registry, auth]) => [registry, { auth }]));
  cluster.api.put("secrets", {
    metadata: { name, namespace: "a" },
    type: "kubernetes.io/dockerconfigjson",
    data: { ".dockerconfigjson": base64(JSON.stringify({ auths: entries })) },
  });
};

const putAccount = (cluster: TestCluster, name: string, secrets: readonly string[]): void => {
  cluster.api.put("serviceaccounts", {
    metadata: { name, namespace: "a" },
    imagePullSecrets: secrets.map((secret) => ({ name: secret })),
  });
};

test("secrets of the service account come first, those of the pod win", async () => {
  await using cluster = await TestCluster.start();
  putSecret(cluster, "sa", { "r.example": "fromAccount", "s.example": "fromAccount" });
  putSecret(cluster, "own", { "r.example": "fromPod" });
  putAccount(cluster, "robot", ["sa"]);
  putPod(cluster, ["own"], { serviceAccountName: "robot" });
  const { secrets, told } = setUp(cluster);
  const auth = await secrets.authJson(ref, never);
  expect(JSON.parse(auth?.reveal() ?? "")).toEqual({
    auths: { "r.example": { auth: "fromPod" }, "s.example": { auth: "fromAccount" } },
  });
  expect(told).toEqual([]);
});

test("a pod without a service account's name has the default one's", async () => {
  await using cluster = await TestCluster.start();
  putSecret(cluster, "sa", { "r.example": "x" });
  putAccount(cluster, "default", ["sa"]);
  putPod(cluster, []);
  expect((await setUp(cluster).secrets.authJson(ref, never))?.reveal()).toContain("r.example");
});

test("a pod without pull secrets has no auth.json", async () => {
  await using cluster = await TestCluster.start();
  putPod(cluster, []);
  expect(await setUp(cluster).secrets.authJson(ref, never)).toBeUndefined();
});

test("a secret that cannot be used is named and left out alone", async () => {
  await using cluster = await TestCluster.start();
  putSecret(cluster, "good", { "r.example": "x" });
  cluster.api.put("secrets", {
    metadata: { name: "bad", namespace: "a" },
    type: "kubernetes.io/dockerconfigjson",
    data: { ".dockerconfigjson": base64("{hunter2") },
  });
  cluster.api.put("secrets", { metadata: { name: "opaque", namespace: "a" }, type: "Opaque" });
  putPod(cluster, ["bad", "opaque", "missing", "good"]);
  const { secrets, told, logged } = setUp(cluster);
  expect((await secrets.authJson(ref, never))?.reveal()).toContain("r.example");
  expect(told.map((event) => event.note.split(" ").slice(0, 3).join(" ")).sort()).toEqual([
    "pull secret bad",
    "pull secret missing",
    "pull secret opaque",
  ]);
  expect(told[0]).toMatchObject({ type: "Warning", reason: "PeerPodPullSecret", pod: { uid: "u" } });
  expect(JSON.stringify([told, logged])).not.toContain("hunter2");
});

test("another pod of the same name is not asked for its secrets", async () => {
  await using cluster = await TestCluster.start();
  putSecret(cluster, "own", { "r.example": "x" });
  putPod(cluster, ["own"]);
  const { secrets } = setUp(cluster);
  expect(await secrets.authJson({ ...ref, podUid: "of an earlier p" }, never)).toBeUndefined();
  expect(await secrets.authJson({ ...ref, podUid: undefined }, never)).toBeDefined();
  expect(cluster.api.calls.filter((call) => call.resource === "secrets")).toHaveLength(1);
});

test("over the VM's limit registries that no image needs are left out, and that is told", async () => {
  await using cluster = await TestCluster.start();
  putSecret(cluster, "own", { "r.example": "x", "s.example": "y".repeat(13_000) });
  putPod(cluster, ["own"]);
  const { secrets, told } = setUp(cluster);
  const auth = await secrets.authJson(ref, never);
  expect(Object.keys(JSON.parse(auth?.reveal() ?? "").auths)).toEqual(["r.example"]);
  expect(told[0]?.note).toContain("s.example");
});

test("without the right to read secrets the pod starts without, and is told why", async () => {
  await using cluster = await TestCluster.start();
  putPod(cluster, ["own"]);
  cluster.api.fail({ resource: "secrets", answer: failure(403, "Forbidden", "no") });
  cluster.api.fail({ resource: "serviceaccounts", answer: failure(403, "Forbidden", "no") });
  const { secrets, told } = setUp(cluster);
  expect(await secrets.authJson(ref, never)).toBeUndefined();
  expect(told.map((event) => event.note)).toEqual([
    expect.stringContaining("service account default cannot be read"),
    expect.stringContaining("pull secret own cannot be read"),
  ]);
});

test("an API server that comes back in time is waited for", async () => {
  await using cluster = await TestCluster.start();
  putSecret(cluster, "own", { "r.example": "x" });
  putPod(cluster, ["own"]);
  cluster.api.fail({ times: 3, answer: failure(503, "ServiceUnavailable", "starting") });
  expect(await setUp(cluster).secrets.authJson(ref, never)).toBeDefined();
});

test("an API server that does not answer stops no pod", async () => {
  await using cluster = await TestCluster.start();
  cluster.api.fail({ answer: "none" });
  const clock = new FakeClock();
  const { secrets, told } = setUp(cluster, clock);
  const asking = secrets.authJson(ref, never);
  await clock.advance(15_000);
  expect(await asking).toBeUndefined();
  expect(told[0]?.note).toContain("no answer within 15 s");
});

test("a caller that gives up gets its own reason", async () => {
  await using cluster = await TestCluster.start();
  cluster.api.fail({ answer: "none" });
  const giveUp = new AbortController();
  const asking = setUp(cluster).secrets.authJson(ref, giveUp.signal);
  const reason = new Error("enough");
  giveUp.abort(reason);
  await expect(asking).rejects.toBe(reason);
});
