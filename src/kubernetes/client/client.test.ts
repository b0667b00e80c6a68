import { writeFile } from "node:fs/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  type ApiAnswer,
  FakeApi,
  type FakeApiServer,
  failure,
  serveFakeApi,
} from "../../../test/fakes/kubernetes/index.ts";
import { CaaError } from "../../errors/index.ts";
import { silentLog, systemClock } from "../../platform/index.ts";
import { clusterAccess } from "./access.ts";
import { ClusterClient } from "./client.ts";
import { NODES, PEER_PODS, PODS, SECRETS } from "./resources.ts";

const deps = { clock: systemClock, log: silentLog, userAgent: "test" };
const never = new AbortController().signal;

let api: FakeApi;
let server: FakeApiServer;
let client: ClusterClient;

beforeEach(async () => {
  api = new FakeApi();
  server = await serveFakeApi(api);
  client = await ClusterClient.open(deps, server.access);
});

afterEach(async () => {
  client[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

const failureOf = async (call: Promise<unknown>): Promise<CaaError> => {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof CaaError)) throw new Error(`not one of ours: ${String(error)}`);
  return error;
};

test("a list is complete over all its pages", async () => {
  for (let n = 0; n < 1201; n++) api.put("pods", { metadata: { name: `p${n}`, namespace: "a" }, spec: {} });
  const { items } = await client.list(PODS, {}, never);
  expect(new Set(items.map((pod) => pod.metadata.name)).size).toBe(1201);
  expect(api.calls.filter((call) => call.verb === "list")).toHaveLength(3);
});

test("a list whose pages were compacted away is read at once", async () => {
  for (let n = 0; n < 600; n++) api.put("pods", { metadata: { name: `p${n}`, namespace: "a" }, spec: {} });
  const list = client.list(PODS, {}, never);
  const first = api.calls.length;
  api.fail({ verb: "watch" });
  const compacting = new Promise<void>((resolve) => {
    const push = api.calls.push.bind(api.calls);
    api.calls.push = (...calls) => {
      if (api.calls.length === first + 1) {
        api.put("pods", { metadata: { name: "new", namespace: "a" }, spec: {} });
        api.compact();
        resolve();
      }
      return push(...calls);
    };
  });
  await compacting;
  expect((await list).items).toHaveLength(601);
});

test("objects are made, read, changed and deleted", async () => {
  const made = await client.create(
    PEER_PODS,
    {
      metadata: { generateName: "p-resource-", namespace: "a", finalizers: ["peer.pod/finalizer"] },
      spec: { instanceID: "i" },
    },
    never,
  );
  const ref = { name: made.metadata.name, namespace: "a" };
  const labelled = await client.patch(
    PEER_PODS,
    ref,
    { type: "merge", value: { metadata: { labels: { k: "v" } } } },
    never,
  );
  expect(labelled.metadata.labels).toEqual({ k: "v" });
  expect((await client.list(PEER_PODS, { labelSelector: "k=v" }, never)).items).toHaveLength(1);
  expect(await client.delete(PEER_PODS, ref, { uid: made.metadata.uid }, never)).toBe(true);
  const going = await client.get(PEER_PODS, ref, never);
  expect(going.metadata.deletionTimestamp).toBeDefined();
  const freed = { ...going, metadata: { ...going.metadata, finalizers: [] } };
  expect((await failureOf(client.replace(PEER_PODS, labelled, never))).kind).toBe("conflict");
  await client.replace(PEER_PODS, freed, never);
  expect(await client.find(PEER_PODS, ref, never)).toBeUndefined();
  expect(await client.delete(PEER_PODS, ref, {}, never)).toBe(false);
});

test("deletes only the object of the given uid", async () => {
  api.put("pods", { metadata: { name: "p", namespace: "a" }, spec: {} });
  const error = await failureOf(client.delete(PODS, { name: "p", namespace: "a" }, { uid: "other" }, never));
  expect(error.kind).toBe("conflict");
  expect(api.get("pods", "p", "a")).toBeDefined();
});

const answer = (status: number, reason: string, headers: Record<string, string> = {}): ApiAnswer => ({
  ...failure(status, reason, "it says why"),
  headers,
});

test.each<[string, ApiAnswer, Partial<CaaError>]>([
  ["401", answer(401, "Unauthorized"), { kind: "unauthorised" }],
  ["403", answer(403, "Forbidden"), { kind: "unauthorised" }],
  ["404", answer(404, "NotFound"), { kind: "not-found" }],
  ["409 of a name that is taken", answer(409, "AlreadyExists"), { kind: "already-exists" }],
  ["409 of a change in between", answer(409, "Conflict"), { kind: "conflict" }],
  ["410", answer(410, "Expired"), { kind: "gone" }],
  ["413", answer(413, "RequestEntityTooLarge"), { kind: "too-large" }],
  ["422", answer(422, "Invalid"), { kind: "invalid-request" }],
  [
    "429 with its pause",
    answer(429, "TooManyRequests", { "retry-after": "7" }),
    { kind: "throttled", retryAfterMs: 7000 },
  ],
  ["500", answer(500, "InternalError"), { kind: "unavailable" }],
  ["503 of a proxy that sends no Status", { status: 503, body: { oops: 1 } }, { kind: "unavailable" }],
])("%s becomes an error of ours", async (_name, given, expected) => {
  api.fail({ answer: given });
  expect(await failureOf(client.get(NODES, { name: "n" }, never))).toMatchObject(expected);
});

test("an error of missing rights names verb and resource as a ClusterRole does", async () => {
  api.fail({ answer: answer(403, "Forbidden") });
  const patch = { type: "json" as const, operations: [] };
  const error = await failureOf(client.patch(NODES, { name: "n", subresource: "status" }, patch, never));
  expect(error.message).toContain("verb patch on nodes/status");
});

test("no server and a cut connection are unavailable", async () => {
  api.fail({ times: 1 });
  expect((await failureOf(client.get(NODES, { name: "n" }, never))).kind).toBe("unavailable");
  await server.stop();
  expect((await failureOf(client.get(NODES, { name: "n" }, never))).kind).toBe("unavailable");
});

test("a pooled connection that the server had closed costs a read nothing", async () => {
  api.put("nodes", { metadata: { name: "n" } });
  await client.get(NODES, { name: "n" }, never);
  api.fail({ times: 1 });
  expect((await client.get(NODES, { name: "n" }, never)).metadata.name).toBe("n");
});

test("an abort ends a call that gets no answer, with the caller's own reason", async () => {
  api.fail({ answer: "none" });
  const giveUp = new AbortController();
  const call = client.get(NODES, { name: "n" }, giveUp.signal);
  const reason = new Error("enough");
  giveUp.abort(reason);
  await expect(call).rejects.toBe(reason);
});

test("the token is read again when the kubelet renews it", async () => {
  api.put("nodes", { metadata: { name: "n" } });
  await client.get(NODES, { name: "n" }, never);
  await server.renewToken("second-token");
  expect((await client.get(NODES, { name: "n" }, never)).metadata.name).toBe("n");
});

test("calls that follow each other share a connection", async () => {
  api.put("nodes", { metadata: { name: "n" } });
  for (let n = 0; n < 5; n++) await client.get(NODES, { name: "n" }, never);
  expect(server.connections()).toBe(1);
});

test("an answer that is not what was asked for is refused without its content", async () => {
  api.put("secrets", { metadata: { name: "s", namespace: "a" }, data: { password: 12345 } });
  const error = await failureOf(client.get(SECRETS, { name: "s", namespace: "a" }, never));
  expect(error.message).toContain("data.password");
  expect(error.message).not.toContain("12345");
});

test("a kubeconfig file gives address, certificates and token", async () => {
  api.put("nodes", { metadata: { name: "n" } });
  using other = await ClusterClient.open(deps, { kind: "kubeconfig", file: server.kubeconfigFile });
  expect((await other.get(NODES, { name: "n" }, never)).metadata.name).toBe("n");
  await other.get(NODES, { name: "n" }, never);
  expect(server.connections()).toBe(1);
});

test("a kubeconfig without a cluster is refused by name", async () => {
  await writeFile(server.kubeconfigFile, "clusters: []");
  const error = await failureOf(
    ClusterClient.open(deps, { kind: "kubeconfig", file: server.kubeconfigFile }),
  );
  expect(error).toMatchObject({
    kind: "invalid-config",
    message: expect.stringContaining(server.kubeconfigFile),
  });
});

test("the kubeconfig file goes before the pod's service account, and without either there is no cluster", () => {
  const env = { KUBERNETES_SERVICE_HOST: "10.0.0.1" };
  expect(clusterAccess("/k", env)).toEqual({ kind: "kubeconfig", file: "/k" });
  expect(clusterAccess("", env)).toMatchObject({ kind: "in-cluster", host: "10.0.0.1", port: "443" });
  expect(() => clusterAccess("", {})).toThrow("PEERPODS_KUBECONFIG");
});
