import type { V1Pod } from "@kubernetes/client-node";
import { check, same } from "../real/case.ts";
import type { NodeCase } from "./case.ts";
import { installChart, LIMIT, VM_RESOURCE } from "./chart.ts";
import { waitForRoom } from "./install-cases.ts";
import type { ClusterNode } from "./node.ts";
import { PodSpace } from "./pods.ts";

const requestsOf = (pod: V1Pod): Readonly<Record<string, string>> =>
  pod.spec?.containers[0]?.resources?.requests ?? {};

/** As many peer pods as there is room for run, the next waits until one goes. Resolves to what the scheduler said of it. */
async function fillAndWait(node: ClusterNode, prefix: string, room: number): Promise<string> {
  await using space = await PodSpace.make(node, prefix);
  const names = Array.from({ length: room }, (_, index) => `pod-${index}`);
  for (const name of names) await space.create(name, { peer: true });
  await Promise.all(names.map((name) => space.ready(name)));
  await space.create("next", { peer: true });
  const why = await space.unschedulable("next");
  check(why.includes(`Insufficient ${VM_RESOURCE}`), () => `the next is not scheduled, but for: ${why}`);
  await space.remove("pod-0");
  await space.ready("next");
  return why;
}

/**
 * After this the kubelet itself answers for the resource, and goes on to set it to 0 for minutes after its plugin is gone: what follows can
 * only be the uninstall.
 */
export const DEVICE_PLUGIN: NodeCase = {
  name: "the capacity through the kubelet's device plugins is kept to in the same way",
  run: async (node) => {
    const limit = LIMIT - 1;
    await installChart(node, limit, { PEERPODS_NODE_RESOURCE: "device-plugin" });
    await waitForRoom(node, limit);
    const why = await fillAndWait(node, "plugin", limit);
    return `${limit} devices: ${why}`;
  },
};

/** What the scheduler and admission make of peer pods; it is the same whether a VM or runc runs them. */
export const SCHEDULING_CASES: readonly NodeCase[] = [
  {
    name: "the webhook takes a peer pod's requests off it and puts one pod VM in their place",
    run: async (node) => {
      await using space = await PodSpace.make(node, "webhook");
      // More than the node has: only because the VM is elsewhere can this be scheduled.
      const resources = { requests: { cpu: "64", memory: "1Ti" } };
      const created = await space.create("large", { peer: true, container: { resources } });
      same("requests", JSON.stringify(requestsOf(created)), JSON.stringify({ [VM_RESOURCE]: "1" }));
      await space.until("large", (pod) => pod.spec?.nodeName !== undefined);
      const plain = await space.create("plain", { container: { resources: { requests: { cpu: "10m" } } } });
      same("requests of an ordinary pod", JSON.stringify(requestsOf(plain)), JSON.stringify({ cpu: "10m" }));
      return JSON.stringify(created.metadata?.annotations);
    },
  },
  {
    name: "as many peer pods as the node has room for run at once, and the next waits for one to go",
    run: async (node) => {
      return await fillAndWait(node, "limit", LIMIT);
    },
  },
  {
    name: "a peer pod that asks for the node's network is refused in words",
    run: async (node) => {
      await using space = await PodSpace.make(node, "refused");
      const outcome = await space.create("host", { peer: true, hostNetwork: true }).then(
        () => "",
        (error: unknown) => String(error),
      );
      check(/hostNetwork/.test(outcome), () => `not refused for it: ${outcome}`);
      return /spec\.hostNetwork[^"\\]*/.exec(outcome)?.[0] ?? outcome;
    },
  },
  {
    name: "another limit, given by an upgrade of the release, is what the scheduler sees",
    run: async (node) => {
      await installChart(node, LIMIT + 4);
      await waitForRoom(node, LIMIT + 4);
      await installChart(node);
      await waitForRoom(node, LIMIT);
      return `${LIMIT + 4}, then ${LIMIT} again`;
    },
  },
];
