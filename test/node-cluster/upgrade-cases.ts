import type { V1Node } from "@kubernetes/client-node";
import { check, same } from "../real/case.ts";
import { until } from "../real/service.ts";
import type { NodeCase } from "./case.ts";
import { ADAPTOR, LIMIT, NAMESPACE } from "./chart.ts";
import { ourPods, waitForRoom } from "./install-cases.ts";
import type { ClusterNode } from "./node.ts";
import { PodSpace } from "./pods.ts";

/** Counts on its output, so that a gap shows. */
const COUNT = ["sh", "-c", "trap exit TERM; i=0; while :; do echo $i; i=$((i+1)); sleep 0.2; done"];

const adaptorPods = async (node: ClusterNode): Promise<readonly string[]> =>
  (await ourPods(node)).flatMap(({ metadata }) =>
    metadata?.labels?.["app"] === "cloud-api-adaptor" ? (metadata.name ?? []) : [],
  );

/** What must not change while something is done to the adaptor. */
async function stateOf(node: ClusterNode, space: PodSpace, names: readonly string[]): Promise<string> {
  const { items } = await node.cluster.api.core.listNamespacedPod({ namespace: space.name });
  const pods = items
    .filter(({ metadata }) => names.includes(metadata?.name ?? ""))
    .map(({ metadata, status }) => {
      const main = status?.containerStatuses?.[0];
      return [metadata?.name, metadata?.uid, main?.containerID, main?.restartCount, main?.ready].join(" ");
    });
  const vms = (await node.room.vms()).map(({ id }) => id);
  return [...pods.toSorted(), ...vms.toSorted()].join("\n");
}

/** The lines of a pod's log hold all numbers from 0 on. Resolves to how many. */
async function checkCount(node: ClusterNode, space: PodSpace, name: string): Promise<number> {
  const { stdout } = await node.kubectl("-n", space.name, "logs", name);
  const lines = stdout.trimEnd().split("\n");
  const gap = lines.findIndex((line, index) => line !== String(index));
  check(gap < 0, () => `line ${gap} of ${name} is ${lines[gap]}`);
  return lines.length;
}

/**
 * Does something under running peer pods. Resolves to what was seen. `disturb` is given the space and the names of the pods.
 */
async function under(
  node: ClusterNode,
  prefix: string,
  disturb: (space: PodSpace, names: readonly string[]) => Promise<void>,
): Promise<string> {
  await using space = await PodSpace.make(node, prefix);
  // One place is left for a pod that starts afterwards.
  const names = Array.from({ length: LIMIT - 1 }, (_, index) => `pod-${index}`);
  for (const name of names) await space.create(name, { peer: true, container: { command: COUNT } });
  await Promise.all(names.map((name) => space.ready(name)));
  const before = await stateOf(node, space, names);
  await disturb(space, names);
  for (const name of names)
    await until(
      `an exec in ${name}`,
      60_000,
      async () => (await space.exec(name, "echo", "on").catch(() => "")) === "on\n",
    );
  same("pods, containers, restarts and VMs", await stateOf(node, space, names), before);
  const soFar = await Promise.all(names.map((name) => checkCount(node, space, name)));
  const goesOn = async (name: string, index: number): Promise<number> =>
    await until(`more output of ${name}`, 60_000, async () => {
      const count = await checkCount(node, space, name);
      return count > (soFar[index] ?? 0) ? count : undefined;
    });
  const counts = await Promise.all(names.map(goesOn));
  await space.create("afterwards", { peer: true });
  await space.ready("afterwards");
  return `0 restarts; logs without a gap: ${counts.join(" and ")} lines`;
}

/** As `under`, of the adaptor, during which an exec lasts too. */
async function underExec(node: ClusterNode, prefix: string, disturb: () => Promise<void>): Promise<string> {
  return await under(node, prefix, async (space, [name = ""]) => {
    const wait = "echo started; while [ ! -e /done ]; do sleep 0.2; done; echo ended";
    const lasting = node.kubectl("-n", space.name, "exec", name, "--", "sh", "-c", wait);
    await disturb();
    await space.exec(name, "touch", "/done");
    same("output of the exec that lasted", (await lasting).stdout, "started\nended\n");
  });
}

/** What becomes of running peer pods when the adaptor does not stay. */
export const UPGRADE_CASES: readonly NodeCase[] = [
  {
    name: "an upgrade of the adaptor's DaemonSet restarts no peer pod",
    needsShim: true,
    run: async (node) =>
      await underExec(node, "upgrade", async () => {
        const old = await adaptorPods(node);
        const rollout = (...args: readonly string[]) =>
          node.kubectl("-n", NAMESPACE, "rollout", ...args, `daemonset/${ADAPTOR}`);
        check((await rollout("restart")).code === 0, () => "kubectl rollout restart failed");
        const { code, stdout, stderr } = await rollout("status", "--timeout=180s");
        check(code === 0, () => `the rollout did not end: ${stdout}${stderr}`);
        await until("the old one gone", 60_000, async () => {
          const now = await adaptorPods(node);
          return !now.some((name) => old.includes(name));
        });
      }),
  },
  {
    name: "an adaptor that is deleted by force restarts no peer pod",
    needsShim: true,
    run: async (node) =>
      await underExec(node, "force", async () => {
        const [old = ""] = await adaptorPods(node);
        const { code, stderr } = await node.kubectl(
          "-n",
          NAMESPACE,
          "delete",
          "pod",
          old,
          "--grace-period=0",
          "--force",
        );
        check(code === 0, () => stderr);
        const rollout = ["rollout", "status", `daemonset/${ADAPTOR}`, "--timeout=180s"];
        const status = await node.kubectl("-n", NAMESPACE, ...rollout);
        check(status.code === 0, () => status.stderr);
      }),
  },
  {
    name: "a kubelet that is killed and started again finds its peer pods and the capacity",
    needsShim: true,
    run: async (node) =>
      await under(node, "kubelet", async () => {
        await node.kubelet.end("SIGKILL");
        const startedAt = Date.now();
        await node.kubelet.start();
        await node.cluster.api.waitFor<V1Node>("/api/v1/nodes", ({ status }) => {
          const ready = status?.conditions?.find(({ type }) => type === "Ready");
          const heartbeat = ready?.lastHeartbeatTime?.valueOf() ?? 0;
          return ready?.status === "True" && new Date(heartbeat).valueOf() > startedAt;
        });
        await waitForRoom(node, LIMIT);
      }),
  },
  {
    name: "a containerd that is killed and started again finds its peer pods",
    needsShim: true,
    run: async (node) =>
      await under(node, "containerd", async () => {
        await node.containerd.end("SIGKILL");
        await node.containerd.start();
      }),
  },
];
