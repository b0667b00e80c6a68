import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { eagerClock } from "../../test/fakes/eager-clock.ts";
import { FakeClock } from "../../test/fakes/fake-clock.ts";
import { FakeProvider } from "../../test/fakes/fake-provider.ts";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";
import { FakeApi, type FakeApiServer, FakeKubelet, serveFakeApi } from "../../test/fakes/kubernetes/index.ts";
import { type Clock, type Log, silentLog, systemClock } from "../platform/index.ts";
import { ClusterSide } from "./cluster-side.ts";
import type { ClusterConfig } from "./config.ts";
import { EffectiveConfig } from "./effective-config.ts";

const never = new AbortController().signal;

let api: FakeApi;
let server: FakeApiServer;
let node: FakeSandboxes;
let kubeletDir: string;

beforeEach(async () => {
  kubeletDir = await mkdtemp(join(tmpdir(), "device-plugins-"));
  api = new FakeApi();
  server = await serveFakeApi(api);
  node = new FakeSandboxes({ owner: { clusterId: "", nodeName: "n" } });
  api.put("nodes", { metadata: { name: "n" }, status: { capacity: {} } });
});

afterEach(async () => {
  node[Symbol.dispose]();
  await rm(kubeletDir, { recursive: true });
  await server[Symbol.asyncDispose]();
});

class CloudWithQuota extends FakeProvider {
  async quota(): Promise<number> {
    return 2;
  }
}

interface Change {
  readonly provider?: FakeProvider;
  readonly clusterId?: string;
  readonly nodeResource?: ClusterConfig["nodeResource"];
  readonly clock?: Clock;
  readonly log?: Log;
}

async function open({
  clusterId = "",
  nodeResource = "status",
  clock = eagerClock,
  provider = node.cloud,
  log = silentLog,
}: Change = {}) {
  const effective = new EffectiveConfig(node.live);
  const side = await ClusterSide.open(
    {
      provider: "mock",
      node: {
        ...{ inKubernetes: true, name: "n", podUid: "u", podName: "", podNamespace: "own", clusterId },
        ...{ runtimeClassName: "kata-remote", probePort: 8000, notifySocket: "" },
      },
    },
    {
      kubeconfigFile: server.kubeconfigFile,
      serviceEnv: { KUBERNETES_SERVICE_HOST: "", KUBERNETES_SERVICE_PORT: "" },
      nodeResource,
      devicePluginDir: kubeletDir,
    },
    { clock, log, programVersion: "1", effective },
  );
  let leave = async (): Promise<void> => undefined;
  return {
    side,
    effective,
    begin: () => {
      leave = side.begin({ epoch: 1, journal: node.journal, provider });
    },
    leave: () => leave(),
    async [Symbol.asyncDispose]() {
      await leave();
      await side.close();
    },
  };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await api.changed();
}

const identityIs = (uid: string): unknown =>
  api.put("namespaces", { metadata: { name: "kube-system", uid } });

test("the UID of kube-system is the cluster's identity, and is remembered for a start without an API server", async () => {
  identityIs("cluster-uid");
  {
    await using first = await open({ clock: systemClock });
    first.begin();
    await first.side.identified(never);
    expect(first.effective.current().owner.clusterId).toBe("cluster-uid");
    expect(node.journal.meta("cluster_id")).toBe("cluster-uid");
  }
  await server.stop();
  await using second = await open();
  second.begin();
  expect(second.effective.current().owner.clusterId).toBe("cluster-uid");
});

test("an identity that is heard late goes before the remembered one, and is remembered", async () => {
  node.journal.setMeta("cluster_id", "of another cluster");
  api.fail({ resource: "namespaces", answer: "none" });
  await using early = await open();
  early.begin();
  expect(early.effective.current().owner.clusterId).toBe("of another cluster");
  api.heal();
  identityIs("cluster-uid");
  await using late = await open();
  late.begin();
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = (): void => {
    if (late.effective.current().owner.clusterId === "cluster-uid") resolve();
  };
  late.effective.onChange(look);
  look();
  await promise;
  expect(node.journal.meta("cluster_id")).toBe("cluster-uid");
});

test("with CLUSTER_ID set nobody asks for it", async () => {
  await using it = await open({ clusterId: "mine" });
  it.begin();
  await until(() => api.calls.some((call) => call.resource === "nodes/status"));
  expect(api.calls.some((call) => call.resource === "namespaces")).toBe(false);
});

test("the capacity is there during the term and goes with the adaptor", async () => {
  await using it = await open({ clusterId: "c" });
  it.begin();
  await until(() => JSON.stringify(api.get("nodes", "n")).includes('"kata.peerpods.io/vm":"10"'));
  await it.leave();
  await it.side.withdraw();
  expect(JSON.stringify(api.get("nodes", "n"))).not.toContain("kata.peerpods.io/vm");
});

test("PEERPODS_NODE_RESOURCE=off leaves the Node alone", async () => {
  await using it = await open({ clusterId: "c", nodeResource: "off" });
  it.begin();
  await it.leave();
  await it.side.withdraw();
  expect(api.calls.filter((call) => call.resource.startsWith("nodes"))).toEqual([]);
});

test("PEERPODS_NODE_RESOURCE=device-plugin tells the kubelet, as far as the cloud's quota goes, and leaves the Node alone", async () => {
  const kubelet = new FakeKubelet(kubeletDir);
  await kubelet.start();
  try {
    const provider = new CloudWithQuota();
    await using it = await open({
      clusterId: "c",
      nodeResource: "device-plugin",
      clock: systemClock,
      provider,
    });
    it.begin();
    const devices = () => kubelet.devices("kata.peerpods.io/vm");
    await kubelet.until(() => devices().capacity === 10 && devices().allocatable === 2);
    await it.leave();
    kubelet.stop();
    await it.side.withdraw();
    expect(api.calls.filter((call) => call.resource.startsWith("nodes"))).toEqual([]);
  } finally {
    kubelet.stop();
  }
});

test("the Node's own limit becomes the lifecycle's", async () => {
  api.put("nodes", {
    metadata: { name: "n", annotations: { "kata.peerpods.io/limit": "3" } },
    status: { capacity: {} },
  });
  await using it = await open({ clusterId: "c" });
  it.begin();
  await until(() => JSON.stringify(api.get("nodes", "n")).includes('"kata.peerpods.io/vm":"3"'));
  expect(it.effective.current().limit).toBe(3);
});

test("the Node's own limit counts from the start of the next adaptor, until the Node says otherwise", async () => {
  const nodeWith = (annotations: Record<string, string>): unknown =>
    api.put("nodes", { metadata: { name: "n", annotations }, status: { capacity: {} } });
  const advertised = (limit: number) =>
    until(() => JSON.stringify(api.get("nodes", "n")).includes(`"kata.peerpods.io/vm":"${limit}"`));
  nodeWith({ "kata.peerpods.io/limit": "3" });
  {
    await using first = await open({ clusterId: "c" });
    first.begin();
    await advertised(3);
  }
  api.fail({ answer: "none" });
  {
    await using second = await open({ clusterId: "c" });
    second.begin();
    expect(second.effective.current().limit).toBe(3);
  }
  api.heal();
  nodeWith({});
  await using third = await open({ clusterId: "c" });
  third.begin();
  await until(() => third.effective.current().limit === 10);
  await advertised(10);
});

test("a pod's start makes its PeerPod and an Event, its stop releases the PeerPod", async () => {
  await using it = await open({ clusterId: "c" });
  node.onNotice = it.side.onNotice;
  api.put("pods", { metadata: { name: "pod-s1", namespace: "default" }, spec: { nodeName: "n" } });
  it.begin();
  await node.manager.create(node.request("s1"), never);
  await node.manager.start("s1", never);
  const peerPods = () => api.all("peerpods.confidentialcontainers.org");
  await until(() => peerPods().length === 1);
  await until(() => JSON.stringify(api.all("events.events.k8s.io")).includes("PeerPodVMStarted"));
  await node.manager.stop("s1", never);
  await until(() => peerPods().length === 0);
});

test("a node that was never told its cluster makes no VM while the API server is silent, and makes it once it is told", async () => {
  api.fail({ answer: "none" });
  const clock = new FakeClock();
  await using it = await open({ clock });
  it.begin();
  const manager = node.managerWith({ identified: it.side.identified, config: it.effective });
  const refused = manager.create(node.request("s1"), never);
  refused.catch(() => undefined);
  await clock.advance(60_000);
  await expect(refused).rejects.toMatchObject({
    kind: "unavailable",
    message: expect.stringMatching(/kube-system.*CLUSTER_ID/),
  });
  expect(node.residue()).toEqual([]);
  const held = manager.create(node.request("s2"), never);
  it.effective.learn({ clusterId: "cluster-uid" });
  await held;
  await manager.start("s2", never);
  expect([...node.cloud.vms.values()].map((vm) => vm.tags["peerpods-cluster"])).toEqual(["cluster-uid"]);
});

test("a node whose journal remembers its cluster waits for no API server", async () => {
  api.fail({ answer: "none" });
  node.journal.setMeta("cluster_id", "remembered");
  await using it = await open({ clock: new FakeClock() });
  it.begin();
  await it.side.identified(never);
});

test("an API server that will not tell the cluster's identity keeps no pod waiting, and the log says what that costs", async () => {
  const said: string[] = [];
  await using it = await open({
    clock: systemClock,
    log: { ...silentLog, warn: (text) => said.push(text) },
  });
  it.begin();
  await it.side.identified(never);
  expect(said.join("\n")).toMatch(/VMs are made without.*CLUSTER_ID/);
});

test("status says what cannot be done now, and stops saying it", async () => {
  const [wrong, right] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const log: Log = {
    ...silentLog,
    warn: (text) => text.startsWith("PeerPods") && wrong.resolve(),
    info: (text) => text.startsWith("PeerPods") && right.resolve(),
  };
  api.fail({ verb: "list", resource: "peerpods.confidentialcontainers.org" });
  await using it = await open({ clusterId: "c", log });
  it.begin();
  await wrong.promise;
  expect(it.side.status).toEqual({
    nodeResource: "status",
    troubles: [expect.stringMatching(/^PeerPods: list peerpods.*does not answer/)],
  });
  api.heal();
  await right.promise;
  expect(it.side.status.troubles).toEqual([]);
});
