import type { Node } from "./node.ts";
import { type Container, Pod } from "./pod.ts";
import { until } from "./service.ts";

/** A container that does nothing for ever, and ends at once when told. */
export const IDLE: readonly string[] = ["sh", "-c", "trap exit TERM; echo ready; while :; do sleep 1; done"];

/** Starts a pod with one idle container, hands it over and removes it, whatever happens. */
export async function withPod(
  node: Node,
  name: string,
  use: (pod: Pod, idle: Container) => Promise<string>,
  annotations: Readonly<Record<string, string>> = {},
): Promise<string> {
  const pod = await Pod.run(node, name, annotations);
  try {
    const idle = await pod.start({ name: "idle", command: IDLE });
    await idle.printed("ready");
    return await use(pod, idle);
  } finally {
    await pod.remove();
  }
}

/**
 * Waits until pods that were removed have left nothing. The Go shim may stay for its dial timeout, 30 s, asking a socket that is gone for
 * events; and where it sends no StopVM, its end has to be noticed first.
 */
export async function checkNothingLeft(node: Node, timeoutMs = 90_000): Promise<void> {
  let found: readonly string[] = [];
  await until("nothing left", timeoutMs, async () => {
    found = await node.leftovers();
    return found.length === 0;
  }).catch(() => {
    throw new Error(`left behind: ${found.join("; ")}`);
  });
}
