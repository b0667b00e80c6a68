import type { V1Node, V1Pod } from "@kubernetes/client-node";
import { check, same } from "../real/case.ts";
import { until } from "../real/service.ts";
import type { NodeCase } from "./case.ts";
import { installChart, LIMIT, NAMESPACE, uninstallChart, VM_RESOURCE } from "./chart.ts";
import { NODE_NAME } from "./configs.ts";
import type { ClusterNode } from "./node.ts";
import { PodSpace } from "./pods.ts";

/** Pods of the release. */
export async function ourPods({ cluster }: ClusterNode): Promise<readonly V1Pod[]> {
  return (await cluster.api.core.listNamespacedPod({ namespace: NAMESPACE })).items;
}

/** Waits until the node has room for so many pod VMs, as the scheduler sees it. */
export async function waitForRoom({ cluster }: ClusterNode, limit: number): Promise<void> {
  const room = ({ metadata, status }: V1Node): boolean =>
    metadata?.name === NODE_NAME && status?.allocatable?.[VM_RESOURCE] === String(limit);
  await cluster.api.waitFor<V1Node>("/api/v1/nodes", room);
}

export const INSTALL: NodeCase = {
  name: "the chart is installed, and all of it becomes ready",
  run: async (node) => {
    await installChart(node);
    const pods = await ourPods(node);
    for (const { metadata, status } of pods)
      for (const { name, ready, restartCount } of status?.containerStatuses ?? []) {
        check(ready, () => `${name} of ${metadata?.name} is not ready`);
        same(`restarts of ${name}`, restartCount, 0);
      }
    return pods.map(({ metadata }) => metadata?.name).join(", ");
  },
};

export const CAPACITY: NodeCase = {
  name: "the node advertises how many pod VMs it has room for",
  run: async (node) => {
    await waitForRoom(node, LIMIT);
    return `${VM_RESOURCE}: ${LIMIT}`;
  },
};

export const REFUSED_UNINSTALL: NodeCase = {
  name: "an uninstall is refused while peer pods run, and they go on",
  needsShim: true,
  run: async (node) => {
    await using space = await PodSpace.make(node, "uninstall");
    await space.create("running", { peer: true });
    await space.ready("running");
    const { code, stdout, stderr } = await uninstallChart(node);
    check(code !== 0, () => "helm uninstall went through");
    same("output of an exec", await space.exec("running", "echo", "on"), "on\n");
    const main = (await space.ready("running")).status?.containerStatuses?.[0];
    same("restarts", main?.restartCount, 0);
    return /\d+ peer pods?[^\n"]*|peer pod[^\n"]*/.exec(`${stdout}${stderr}`)?.[0] ?? "";
  },
};

export const UNINSTALL: NodeCase = {
  name: "the chart is uninstalled, and leaves no pod, no capacity and no VM",
  run: async (node) => {
    const { code, stdout, stderr } = await uninstallChart(node);
    check(code === 0, () => `helm uninstall: exit status ${code}: ${stdout}${stderr}`);
    const { core } = node.cluster.api;
    await until("its pods gone", 60_000, async () => (await ourPods(node)).length === 0);
    same("VMs", (await node.room.vms()).length, 0);
    await until("the capacity gone", 30_000, async () => {
      const { capacity = {}, allocatable = {} } = (await core.readNode({ name: NODE_NAME })).status ?? {};
      // A kubelet whose device plugin is gone counts its devices for five minutes more, and gives none of them out.
      return !(VM_RESOURCE in capacity) || allocatable[VM_RESOURCE] === "0";
    });
    return "";
  },
};
