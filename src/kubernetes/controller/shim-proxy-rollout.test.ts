import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { replaceable, type ShimProxyPod, ShimProxyRollout } from "./shim-proxy-rollout.ts";
import { TestBench } from "./test-cluster.ts";

const SET = "peerpods-shim-proxy";

let bench: TestBench;
let rollout: ShimProxyRollout;

beforeEach(() => {
  bench = new TestBench();
  daemonSet();
  revision("old", 1);
  revision("new", 2);
  rollout = new ShimProxyRollout(bench.deps, bench.cluster);
});

const owner = [{ apiVersion: "apps/v1", kind: "DaemonSet", name: SET, uid: "set-uid" }];

function daemonSet(generation = 2, observedGeneration = 2): void {
  const metadata = { name: SET, namespace: "system", uid: "set-uid", generation };
  bench.cluster.put("daemonsets", metadata, { status: { observedGeneration } });
}

function revision(hash: string, number: number): void {
  const labels = { "controller-revision-hash": hash };
  bench.cluster.put(
    "controllerrevisions",
    { name: `rev-${hash}`, namespace: "system", labels, ownerReferences: owner },
    { revision: number },
  );
}

/** A shim-proxy pod, on a node of its own. */
function proxy(
  node: string,
  hash: string,
  about: { ready?: boolean; taints?: readonly string[] } = {},
): void {
  bench.node(node, about.taints);
  bench.cluster.put(
    "pods",
    {
      name: `proxy-${node}`,
      namespace: "system",
      labels: { "controller-revision-hash": hash },
      ownerReferences: owner,
    },
    {
      spec: { nodeName: node },
      status: { conditions: [{ type: "Ready", status: about.ready === false ? "False" : "True" }] },
    },
  );
}

const peerPodOn = (node: string, name: string, phase = "Running"): void =>
  void bench.cluster.put(
    "pods",
    { name, namespace: "apps" },
    { spec: { nodeName: node, runtimeClassName: "kata-remote" }, status: { phase } },
  );

/** Two looks that may agree. */
async function rounds(): Promise<string | undefined> {
  await rollout.round();
  await bench.clock.advance(30_000);
  return await rollout.round();
}

describe("a shim-proxy of an older revision", () => {
  test("is replaced where no peer pod runs, one at a time, when the one before is ready", async () => {
    proxy("n1", "old");
    proxy("n2", "old");
    expect(await rounds()).toBe("proxy-n1");
    proxy("n1", "new", { ready: false });
    expect(await rounds()).toBeUndefined();
    proxy("n1", "new");
    expect(await rounds()).toBe("proxy-n2");
    proxy("n2", "new");
    expect(await rounds()).toBeUndefined();
    expect(bench.notices.at(-1)).toEqual({ kind: "shim-proxies", total: 2, outdated: 0 });
  });

  test.each<[string, () => void]>([
    ["a peer pod runs on its node", () => peerPodOn("n1", "web")],
    ["a PeerPod is of its node", () => bench.peerPod("pp", { node: "n1" })],
    ["its node is not heard of", () => proxy("n1", "old", { taints: ["node.kubernetes.io/unreachable"] })],
    ["the DaemonSet's change was not seen yet", () => daemonSet(3, 2)],
    ["there is no such DaemonSet", () => bench.cluster.remove("daemonsets", SET, "system")],
    [
      "no revision is known",
      () => {
        for (const hash of ["old", "new"])
          bench.cluster.remove("controllerrevisions", `rev-${hash}`, "system");
      },
    ],
    ["the PeerPods are not known", () => (bench.cluster.peerPodsTrouble = "no such resource")],
    ["the nodes are not known", () => (bench.cluster.nodesTrouble = "the watch is down")],
  ])("stays while %s", async (_, change) => {
    proxy("n1", "old");
    change();
    expect(await rounds()).toBeUndefined();
    expect(bench.cluster.names("pods")).toContain("proxy-n1");
  });

  test("is replaced although pods of other classes and ended ones are on its node", async () => {
    proxy("n1", "old");
    bench.cluster.put("pods", { name: "plain", namespace: "apps" }, { spec: { nodeName: "n1" } });
    peerPodOn("n1", "job", "Succeeded");
    expect(await rounds()).toBe("proxy-n1");
  });

  test("stays when a peer pod came between the two looks", async () => {
    proxy("n1", "old");
    expect(await rollout.round()).toBeUndefined();
    peerPodOn("n1", "web");
    await bench.clock.advance(30_000);
    expect(await rollout.round()).toBeUndefined();
    bench.cluster.remove("pods", "web", "apps");
    expect(await rounds()).toBe("proxy-n1");
  });

  test("goes back to an older template when that is the newest revision", async () => {
    proxy("n1", "new");
    revision("old", 3);
    expect(await rounds()).toBe("proxy-n1");
  });

  test("is only named in a dry run", async () => {
    bench = new TestBench({ isDryRun: true });
    daemonSet();
    revision("new", 2);
    proxy("n1", "old");
    rollout = new ShimProxyRollout(bench.deps, bench.cluster);
    expect(await rounds()).toBe("proxy-n1");
    expect(bench.cluster.names("pods")).toEqual(["proxy-n1"]);
  });

  test("is found behind many nodes that are busy for long", async () => {
    for (let n = 10; n < 40; n++) {
      proxy(`n${n}`, "old");
      if (n !== 39) peerPodOn(`n${n}`, `web${n}`);
    }
    const replaced: (string | undefined)[] = [];
    for (let look = 0; look < 10; look++) {
      replaced.push(await rollout.round());
      await bench.clock.advance(30_000);
    }
    expect(replaced).toContain("proxy-n39");
  });

  test("is not replaced by one that may no longer be the leader", async () => {
    proxy("n1", "old");
    await rollout.round();
    await bench.clock.advance(30_000);
    bench.isLeader = false;
    await expect(rollout.round()).rejects.toThrow("not the leader");
    expect(bench.cluster.names("pods")).toEqual(["proxy-n1"]);
  });
});

test("no pod may be replaced while one is on its way out or not ready, on any node that is heard of", () => {
  const pod: fc.Arbitrary<ShimProxyPod> = fc.record({
    uid: fc.uuid(),
    name: fc.string(),
    nodeName: fc.string(),
    isCurrent: fc.boolean(),
    isReady: fc.boolean(),
    isDeleting: fc.boolean(),
    isNodeHealthy: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(pod), (pods) => {
      const free = replaceable(pods);
      for (const one of free)
        expect(one).toMatchObject({ isCurrent: false, isNodeHealthy: true, isDeleting: false });
      const isBusy = pods.some(
        (one) => one.isNodeHealthy && (one.isDeleting || (one.isCurrent && !one.isReady)),
      );
      if (isBusy) expect(free).toEqual([]);
    }),
  );
});
