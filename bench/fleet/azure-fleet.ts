// A fleet of nodes against one subscription, in virtual time: the real Azure provider, one for each node, over the in-process fake
// that enforces Azure's documented limits per VM, per operation and per subscription.
import { createAzureProvider } from "../../providers/azure/index.ts";
import { OwnerTag, type Provider, type VmRequest } from "../../providers/contract.ts";
import { describeError } from "../../src/errors/index.ts";
import { Secret, silentLog, systemExec } from "../../src/platform/index.ts";
import * as azureFake from "../../test/fakes/azure/index.ts";
import { VirtualClock } from "../../test/fakes/clock/index.ts";

export interface FleetShape {
  readonly nodes: number;
  readonly podsPerNode: number;
  /** How long the fleet runs after its burst, seconds of virtual time. */
  readonly steadySeconds: number;
  /** How often each node looks for VMs that nobody owns, seconds. */
  readonly reaperSeconds: number;
}

/** One part of a fleet's life. */
export interface Phase {
  /** Until the last of it was done, virtual seconds; for `steady` as long as it was asked for. */
  readonly seconds: number;
  readonly calls: number;
  /** By what was asked: `GET virtualMachines/*`, ... */
  readonly byPath: Readonly<Record<string, number>>;
  /** Answers 429. */
  readonly throttled: number;
  /** Creates or deletes that failed and were asked for again, as the kubelet does. */
  readonly repeated: number;
  /** When half of the pods and when nearly all had what they wanted, virtual seconds. */
  readonly p50: number;
  readonly p99: number;
}

export interface FleetRun {
  readonly shape: FleetShape;
  readonly burst: Phase;
  readonly steady: Phase;
  readonly end: Phase;
  /** Refused calls by Azure's limit. */
  readonly refused: Readonly<Record<string, number>>;
  /** What exists after the last delete: nothing, or the run is worth nothing. */
  readonly left: readonly string[];
}

/** The kubelet's wait before it makes a sandbox again (kuberuntime's pod worker backs off from 10 s). */
const KUBELET_RETRY_MS = 10_000;
const CLUSTER = "cluster-a";
/** A subscription that was given what such a fleet needs. */
const PLENTY = {
  cores: { limit: 1_000_000, used: 0 },
  standardDCASv5Family: { limit: 1_000_000, used: 0 },
};

interface FleetNode {
  readonly name: string;
  readonly provider: Provider;
}

async function makeNode(fake: azureFake.FakeAzure, clock: VirtualClock, n: number): Promise<FleetNode> {
  const name = `node-${n}`;
  // A generator of its own for each node, or all would retry in step.
  let seed = n + 1;
  const random = (): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  const provider = await createAzureProvider(
    { clock, exec: systemExec, log: silentLog, owner: { clusterId: CLUSTER, nodeName: name } },
    azureFake.fakeConfig(),
    {
      httpClient: azureFake.inProcessClient(fake),
      credential: { getToken: async () => fake.issueToken() },
      random,
      sshPublicKey: azureFake.SSH_KEY,
    },
  );
  return { name, provider };
}

function request(node: string, pod: number): VmRequest {
  const name = `podvm-${node}-${pod}`;
  return {
    name,
    tags: {
      [OwnerTag.Cluster]: CLUSTER,
      [OwnerTag.Node]: node,
      [OwnerTag.Sandbox]: name,
      [OwnerTag.Namespace]: "fleet",
      [OwnerTag.Pod]: `pod-${pod}`,
    },
    userData: new Secret("#cloud-config\n"),
    size: { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 },
    image: "",
    dedicatedTunnelInterface: false,
    externalNetworkInterface: false,
    volumes: [],
  };
}

const forever = new AbortController().signal;

/** Does `work` until it succeeds, with the kubelet's pause; `onRepeat` is told of each failure. */
async function asKubelet(
  clock: VirtualClock,
  work: () => Promise<void>,
  onRepeat: () => void,
): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    try {
      await work();
      return clock.monotonicMs();
    } catch (error) {
      if (attempt >= 50) throw new Error(`given up after ${attempt} tries: ${describeError(error)}`);
      onRepeat();
      await clock.sleep(KUBELET_RETRY_MS);
    }
  }
}

/** `/…/virtualMachines/podvm-1` becomes `virtualMachines/*`. */
const shapeOf = (path: string): string =>
  path
    .replace(/^.*\/(operations|virtualMachines|networkInterfaces|disks|publicIPAddresses|skus|usages)/i, "$1")
    .replace(/\/[^/]+$/, "/*");

/** Runs a whole life of a fleet. */
export async function simulateAzure(shape: FleetShape): Promise<FleetRun> {
  const clock = new VirtualClock();
  const fake = new azureFake.FakeAzure({
    clock,
    settings: { throttle: true, subscriptionLimits: true, pageSize: 50, quotas: PLENTY },
  });
  const nodes = await Promise.all(Array.from({ length: shape.nodes }, (_, n) => makeNode(fake, clock, n)));
  const pods = nodes.flatMap((node) =>
    Array.from({ length: shape.podsPerNode }, (_, pod) => ({ node, request: request(node.name, pod) })),
  );
  const measure = async (work: (onRepeat: () => void) => Promise<readonly number[]>): Promise<Phase> => {
    const startMs = clock.monotonicMs();
    const before = { calls: fake.calls.length, throttled: fake.throttled };
    let repeated = 0;
    const ends = (await work(() => repeated++)).map((ms) => (ms - startMs) / 1000).sort((a, b) => a - b);
    const calls = fake.calls.slice(before.calls);
    const byPath: Record<string, number> = {};
    for (const { method, path } of calls) {
      const key = `${method} ${shapeOf(path)}`;
      byPath[key] = (byPath[key] ?? 0) + 1;
    }
    const at = (share: number): number =>
      ends[Math.min(ends.length - 1, Math.floor(ends.length * share))] ?? 0;
    return {
      seconds: (clock.monotonicMs() - startMs) / 1000,
      calls: calls.length,
      byPath,
      throttled: fake.throttled - before.throttled,
      repeated,
      p50: at(0.5),
      p99: at(0.99),
    };
  };
  const options = { signal: forever, onId: () => undefined, onProgress: () => undefined };
  const burst = await measure((onRepeat) =>
    Promise.all(
      pods.map(({ node, request: one }) =>
        asKubelet(clock, async () => void (await node.provider.create(one, options)), onRepeat),
      ),
    ),
  );
  const steady = await measure(async (onRepeat) => {
    const untilMs = clock.monotonicMs() + shape.steadySeconds * 1000;
    await Promise.all(
      nodes.map(async ({ name, provider }, n) => {
        await clock.sleep((shape.reaperSeconds * 1000 * n) / nodes.length);
        while (clock.monotonicMs() < untilMs) {
          await provider.list({ clusterId: CLUSTER, nodeName: name }, forever).catch(onRepeat);
          await clock.sleep(shape.reaperSeconds * 1000);
        }
      }),
    );
    return [];
  });
  const end = await measure((onRepeat) =>
    Promise.all(
      pods.map(({ node, request: one }) =>
        asKubelet(clock, () => node.provider.delete({ name: one.name }, forever), onRepeat),
      ),
    ),
  );
  await Promise.all(nodes.map(({ provider }) => provider.close()));
  const refused = Object.fromEntries(fake.subscription.refused);
  return { shape, burst, steady, end, refused, left: fake.resources() };
}
