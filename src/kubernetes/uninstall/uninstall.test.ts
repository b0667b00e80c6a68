import { afterEach, beforeEach, expect, test } from "vitest";
import { FakeApi, type FakeApiServer, failure, serveFakeApi } from "../../../test/fakes/kubernetes/index.ts";
import { type Clock, silentLog, systemClock } from "../../platform/index.ts";
import { ClusterClient, PEER_POD_FINALIZER } from "../client/index.ts";
import { removePeerPods, runningPeerPods, stopAdaptors } from "./index.ts";

const PEERPODS = "peerpods.confidentialcontainers.org";
const never = new AbortController().signal;

let api: FakeApi;
let server: FakeApiServer;
let client: ClusterClient;

beforeEach(async () => {
  api = new FakeApi();
  api.resources.add("daemonsets.apps");
  server = await serveFakeApi(api);
  client = await ClusterClient.open({ clock: systemClock, log: silentLog, userAgent: "test" }, server.access);
});

afterEach(async () => {
  client[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

const putPod = (name: string, spec: object, more: { phase?: string; labels?: object } = {}): void => {
  api.put("pods", {
    metadata: { name, namespace: "a", ...(more.labels && { labels: { ...more.labels } }) },
    spec: { ...spec },
    status: { phase: more.phase ?? "Running" },
  });
};

const putPeerPod = (name: string, finalizers: string[]): void => {
  api.put(PEERPODS, { metadata: { name, namespace: "a", finalizers }, spec: { instanceID: name } });
};

test("peer pods that run are those of the class that have a node and have not ended", async () => {
  putPod("peer", { runtimeClassName: "kata-remote", nodeName: "n" });
  putPod("waiting", { runtimeClassName: "kata-remote" });
  putPod("done", { runtimeClassName: "kata-remote", nodeName: "n" }, { phase: "Succeeded" });
  putPod("other", { runtimeClassName: "runc", nodeName: "n" });
  putPod("plain", { nodeName: "n" });
  expect(await runningPeerPods(client, "kata-remote", never)).toEqual(["a/peer"]);
});

/** Time that passes by waiting only; `onWait` is what happens meanwhile. */
function waitingClock(onWait: () => void = () => undefined): Clock {
  let nowMs = 0;
  return {
    ...systemClock,
    monotonicMs: () => nowMs,
    async sleep(ms) {
      nowMs += ms;
      onWait();
    },
  };
}

const adaptors = { app: "cloud-api-adaptor" };

test("the adaptors' DaemonSet is deleted and its pods are waited for, no others", async () => {
  api.put("daemonsets.apps", { metadata: { name: "cloud-api-adaptor-daemonset", namespace: "a" } });
  putPod("adaptor", { nodeName: "n1" }, { labels: adaptors });
  putPod("webhook", { nodeName: "n1" }, { labels: { app: "peer-pods-webhook" } });
  const clock = waitingClock(() => {
    expect(api.get("daemonsets.apps", "cloud-api-adaptor-daemonset", "a")).toBeUndefined();
    api.remove("pods", "adaptor", "a");
  });
  expect(await stopAdaptors({ client, clock }, { namespace: "a", limitMs: 60_000 }, never)).toEqual([]);
  expect(api.get("pods", "adaptor", "a")).toBeUndefined();
});

test("a node whose adaptor does not end is named in time", async () => {
  putPod("adaptor", { nodeName: "n1" }, { labels: adaptors });
  const clock = waitingClock();
  expect(await stopAdaptors({ client, clock }, { namespace: "a", limitMs: 10_000 }, never)).toEqual(["n1"]);
});

test("PeerPods go with our finalizer; one that others' finalizers keep is named", async () => {
  putPeerPod("mine", [PEER_POD_FINALIZER]);
  putPeerPod("free", []);
  putPeerPod("shared", ["others.example/finalizer", PEER_POD_FINALIZER]);
  expect(await removePeerPods(client, never)).toEqual(["a/shared"]);
  expect(api.all(PEERPODS)).toMatchObject([{ metadata: { finalizers: ["others.example/finalizer"] } }]);
});

test("a PeerPod on which the controller works at the same time is looked at again", async () => {
  putPeerPod("mine", [PEER_POD_FINALIZER]);
  api.fail({ verb: "patch", resource: PEERPODS, times: 1, answer: failure(422, "", "the test failed") });
  expect(await removePeerPods(client, never)).toEqual([]);
  expect(api.all(PEERPODS)).toEqual([]);
});

test("without the CRD there are no PeerPods", async () => {
  api.resources.delete(PEERPODS);
  expect(await removePeerPods(client, never)).toEqual([]);
});
