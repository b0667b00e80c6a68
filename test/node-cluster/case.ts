import type { ClusterNode } from "./node.ts";

/** One thing that is tried on the node. Cases run in their order: the first installs the chart, the last uninstalls it. */
export interface NodeCase {
  /** A sentence of behaviour. */
  readonly name: string;
  /** Whether it needs a stock shim, which makes real pod VMs. */
  readonly needsShim?: true;
  /** Resolves to what was seen; throws when it is not what must hold. */
  readonly run: (node: ClusterNode) => Promise<string>;
}
