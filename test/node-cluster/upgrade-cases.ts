import { check, same } from "../real/case.ts";
import { until } from "../real/service.ts";
import type { NodeCase } from "./case.ts";
import { ADAPTOR, LIMIT, NAMESPACE } from "./chart.ts";
import { ourPods } from "./install-cases.ts";
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

/** Does something to the adaptor under running pods and an exec that lasts. Resolves to what was seen. */
async function under(node: ClusterNode, prefix: string, disturb: () => Promise<void>): Promise<string> {
  await using space = await PodSpace.make(node, prefix);
  // One place is left for a pod that starts afterwards.
  const names = Array.from({ length: LIMIT - 1 }, (_, index) => `pod-${index}`);
  for (const name of names) await space.create(name, { peer: true, container: { command: COUNT } });
  await Promise.all(names.map((name) => space.ready(name)));
  const before = await stateOf(node, space, names);
  const wait = "echo started; while [ ! -e /done ]; do sleep 0.2; done; echo ended";
  const lasting = node.kubectl("-n", space.name, "exec", "pod-0", "--", "sh", "-c", wait);
  await disturb();
  await space.exec("pod-0", "touch", "/done");
  same("output of the exec that lasted", (await lasting).stdout, "started\nended\n");
  same("pods, containers, restarts and VMs", await stateOf(node, space, names), before);
  const counts = await Promise.all(names.map((name) => checkCount(node, space, name)));
  await space.create("afterwards", { peer: true });
  await space.ready("afterwards");
  return `0 restarts; logs without a gap: ${counts.join(" and ")} lines`;
}

/** What becomes of running peer pods when the adaptor does not stay. */
export const UPGRADE_CASES: readonly NodeCase[] = [
  {
    name: "an upgrade of the adaptor's DaemonSet restarts no peer pod",
    needsShim: true,
    run: async (node) =>
      await under(node, "upgrade", async () => {
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
      await under(node, "force", async () => {
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
];
