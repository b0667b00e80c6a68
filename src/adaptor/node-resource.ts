import type { Provider } from "../../providers/contract.ts";
import { describeError } from "../errors/index.ts";
import type { Journal } from "../journal/index.ts";
import type { ClusterClient } from "../kubernetes/client/index.ts";
import { DevicePlugin, NodeCapacity } from "../kubernetes/node/index.ts";
import type { Clock, Log } from "../platform/index.ts";
import type { AdaptorConfig, ClusterConfig } from "./config.ts";
import type { EffectiveConfig } from "./effective-config.ts";

/** What one term of ownership gives the cluster's side to work with. */
export interface ClusterTerm {
  readonly epoch: number;
  readonly journal: Journal;
  readonly provider: Provider;
}

/** How the scheduler learns how many pod VMs this node takes. */
export interface NodeResource {
  /** Why it is not what it should be. */
  readonly trouble: string | undefined;
  /** Until the signal aborts; never rejects. */
  run(signal: AbortSignal): Promise<void>;
  /** For the orderly end, once another process may own the node. */
  withdraw(signal: AbortSignal): Promise<"withdrawn" | "kept">;
}

export interface NodeResourceDeps {
  readonly client: ClusterClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly effective: EffectiveConfig;
}

/** As PEERPODS_NODE_RESOURCE says; undefined: it is off. */
export function nodeResource(
  deps: NodeResourceDeps,
  { node, cluster }: { readonly node: AdaptorConfig["node"]; readonly cluster: ClusterConfig },
  term: ClusterTerm,
): NodeResource | undefined {
  const { effective } = deps;
  switch (cluster.nodeResource) {
    case "off":
      return undefined;
    case "status": {
      const { journal } = term;
      // As the Node said last: without an API server the node must not take more than that.
      effective.learn({ nodeLimit: rememberedLimit(journal) });
      const capacity = new NodeCapacity(deps, {
        nodeName: node.name,
        pod: { uid: node.podUid, namespace: node.podNamespace, name: node.podName },
        limit: () => effective.configuredLimit,
        onNodeLimit: (nodeLimit) => {
          effective.learn({ nodeLimit });
          rememberLimit(deps.log, journal, nodeLimit);
        },
      });
      effective.onChange(() => capacity.refresh());
      return capacity;
    }
    case "device-plugin": {
      const plugin = new DevicePlugin(deps, {
        dir: cluster.devicePluginDir,
        instance: String(term.epoch),
        limit: () => effective.current().limit,
        room: (signal) => roomFor(term, signal),
      });
      effective.onChange(() => plugin.refresh());
      return plugin;
    }
  }
}

/** "": the Node had none. */
function rememberedLimit(journal: Journal): number | undefined {
  const text = journal.meta("node_limit") ?? "";
  return /^-?\d+$/.test(text) ? Number(text) : undefined;
}

function rememberLimit(log: Log, journal: Journal, nodeLimit: number | undefined): void {
  const text = nodeLimit === undefined ? "" : String(nodeLimit);
  if (text === (journal.meta("node_limit") ?? "")) return;
  try {
    journal.setMeta("node_limit", text);
  } catch (error) {
    log.warn("the Node's own limit could not be journaled", { error: describeError(error) });
  }
}

/** VMs that there are, and those that the cloud's quota still has room for; undefined: the cloud does not say. */
async function roomFor({ journal, provider }: ClusterTerm, signal: AbortSignal): Promise<number | undefined> {
  const more = await provider.quota?.(signal);
  return more === undefined ? undefined : journal.usage().used + Math.max(0, more);
}
