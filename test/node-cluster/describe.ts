import { NAMESPACE } from "./chart.ts";
import { ourPods } from "./install-cases.ts";
import type { ClusterNode } from "./node.ts";

const LOG_LINES = 400;

const QUESTIONS: readonly (readonly string[])[] = [
  ["get", "pods", "--all-namespaces", "-o", "wide"],
  ["get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"],
  ["describe", "nodes"],
  ["describe", "pods", "--all-namespaces"],
];

/** What a person would look at first when something went wrong. */
export async function describeCluster(node: ClusterNode): Promise<string> {
  const { kubectl, room, cluster } = node;
  const parts: string[] = [];
  for (const question of QUESTIONS) {
    const { stdout, stderr } = await kubectl(...question);
    parts.push(`--- kubectl ${question.join(" ")}\n${stdout}${stderr}`);
  }
  for (const { metadata } of await ourPods(node)) {
    const { stdout, stderr } = await kubectl(
      "-n",
      NAMESPACE,
      "logs",
      `--tail=${LOG_LINES}`,
      metadata?.name ?? "",
    );
    parts.push(`--- logs of ${metadata?.name}\n${stdout}${stderr}`);
  }
  for (const vm of await room.vms())
    parts.push(`--- console of VM ${vm.name}, ${vm.lifecycle}\n${await room.console(vm.id)}`);
  return [...parts, cluster.logs()].join("\n");
}
