// What a pod costs the node in things that can be counted: processes that are started for it, and commits of the journal, each of which waits
// for the disk. The control plane runs in this process over the real journal and real namespaces, with cloud and shim-proxy faked: the counts
// depend on our code, never on the machine.

import { type Exec, silentLog } from "../src/platform/index.ts";
import {
  connectNamespaces,
  createNode,
  NO_NAMESPACES,
  TestNamespace,
} from "../src/pod-network/test-namespaces.ts";
import { kernelNetworking, noNetworking, type PodNetworking, parsePodRequest } from "../src/sandbox/index.ts";
import { FakeSandboxes } from "../test/fakes/fake-sandboxes.ts";
import { podAnnotations } from "../test/shim/played-shim.ts";
import type { Row } from "./report.ts";

export const CALLS = ["CreateVM", "StartVM", "StopVM"] as const;
export type Call = (typeof CALLS)[number];

/** For each pod. */
export interface PodWork {
  readonly pods: number;
  /** Undefined without root, where there are no tunnels. */
  readonly processes: Readonly<Record<Call, number>> | undefined;
  readonly commits: Readonly<Record<Call, number>>;
}

/** One pod, and as many as start at once on a busy node. */
export const WORK_PODS: readonly number[] = [1, 20];

/**
 * As counted in November 2026. More is a regression; fewer is a reason to lower these. Of 20 at once some share a change of the node's rules;
 * how many do depends on what comes first, so there is some room: 2.2 and 4.2 processes were counted.
 */
export const MOST_WORK: Readonly<
  Record<number, { readonly processes: PodWork["commits"]; readonly commits: PodWork["commits"] }>
> = {
  1: {
    processes: { CreateVM: 2, StartVM: 4, StopVM: 6 },
    commits: { CreateVM: 2, StartVM: 5, StopVM: 4 },
  },
  20: {
    processes: { CreateVM: 2, StartVM: 3, StopVM: 5 },
    commits: { CreateVM: 2, StartVM: 5, StopVM: 4 },
  },
};

const never = new AbortController().signal;

/** Takes `pods` pods at once through each of their calls. Throws when one fails or something is left. */
export async function countPodWork(pods: number): Promise<PodWork> {
  await using stack = new AsyncDisposableStack();
  let commits = 0;
  let processes = 0;
  const fakes = stack.use(
    new FakeSandboxes({ limit: 2 * pods }, (_operation, phase) => {
      if (phase === "after") commits++;
    }),
  );
  const site =
    NO_NAMESPACES === undefined
      ? await realNetwork(stack, pods, () => processes++)
      : { networking: noNetworking, netns: Array.from({ length: pods }, () => "/run/netns/none") };
  const manager = fakes.managerWith({ networking: site.networking });
  const requests = site.netns.map((netns, n) =>
    parsePodRequest(`pod-${n}`, podAnnotations({ name: `p${n}`, namespace: "bench" }), netns),
  );
  const steps: Readonly<Record<Call, (one: (typeof requests)[number]) => Promise<unknown>>> = {
    CreateVM: (one) => manager.create(one, never),
    StartVM: ({ sandboxId }) => manager.start(sandboxId, never),
    StopVM: ({ sandboxId }) => manager.stop(sandboxId, never),
  };
  const counts: Record<string, { commits: number; processes: number }> = {};
  for (const call of CALLS) {
    const before = { commits, processes };
    await Promise.all(requests.map(steps[call]));
    counts[call] = {
      commits: (commits - before.commits) / pods,
      processes: (processes - before.processes) / pods,
    };
  }
  await manager.shutDown();
  const left = fakes.residue();
  if (left.length > 0) throw new Error(`left behind ${left.join(", ")}: the count is of no use`);
  const each = (what: "commits" | "processes"): PodWork["commits"] => ({
    CreateVM: counts["CreateVM"]?.[what] ?? Number.NaN,
    StartVM: counts["StartVM"]?.[what] ?? Number.NaN,
    StopVM: counts["StopVM"]?.[what] ?? Number.NaN,
  });
  return {
    pods,
    processes: NO_NAMESPACES === undefined ? each("processes") : undefined,
    commits: each("commits"),
  };
}

/** A node of its own with so many pod namespaces, whose commands are counted. */
async function realNetwork(
  stack: AsyncDisposableStack,
  pods: number,
  onProcess: () => void,
): Promise<{ readonly networking: PodNetworking; readonly netns: readonly string[] }> {
  const { node } = stack.use(await createNode());
  const exec: Exec = {
    run(argv, options) {
      onProcess();
      return node.exec.run(argv, options);
    },
  };
  const config = {
    hostInterface: "",
    tunnelType: "vxlan",
    vxlanPort: 4789,
    externalNetworkViaPodVm: false,
    podSubnetCidrs: [],
  } as const;
  const netns: string[] = [];
  for (let n = 0; n < pods; n++) {
    const pod = stack.use(await TestNamespace.create());
    await connectNamespaces({ namespace: node, device: `pod${n}` }, { namespace: pod, device: "eth0" });
    await pod.ip(`address add 10.88.0.${n + 2}/16 dev eth0`, "route add default via 10.88.0.1");
    netns.push(pod.path);
  }
  return { networking: kernelNetworking({ exec, log: silentLog }, config), netns };
}

export async function measurePodWork(): Promise<readonly PodWork[]> {
  const all: PodWork[] = [];
  for (const pods of WORK_PODS) all.push(await countPodWork(pods));
  return all;
}

/** Rows of processes and commits per pod; the targets are what has been counted before. */
export function podWorkRows(measured: readonly PodWork[]): readonly Row[] {
  return measured.flatMap(({ pods, processes, commits }) => {
    const who = pods === 1 ? "1 pod" : `${pods} pods at once`;
    const most = MOST_WORK[pods];
    const rows = (what: "processes" | "commits", counts: PodWork["commits"] | undefined): readonly Row[] =>
      counts === undefined
        ? []
        : CALLS.map((call) => ({
            what: `${who}: ${what === "processes" ? "processes" : "journal commits"} per ${call}`,
            unit: what,
            values: { ours: counts[call] },
            ...(most && { target: { of: "ours", atMost: most[what][call] } as const }),
          }));
    return [...rows("processes", processes), ...rows("commits", commits)];
  });
}
