import { follow, PEER_PODS } from "../client/index.ts";
import type { ControllerDeps } from "./deps.ts";
import { type PeerPodFacts, readPeerPod } from "./peer-pod.ts";
import { LEAN_NODES, type NodeObject, nodeState } from "./resources.ts";

/** One kind of object as a watch shows it. */
interface View {
  isSynced: boolean;
  trouble: string;
}

/** What watches show of the cluster. */
export interface ClusterView {
  /** Why the nodes are not known now; undefined: they are. A cluster without any node is not believed: this very process runs on one. */
  whyNodesUnknown(): string | undefined;
  /** Why the PeerPods are not known now; undefined: they are. */
  whyPeerPodsUnknown(): string | undefined;
  node(name: string): NodeObject | undefined;
  peerPods(): readonly PeerPodFacts[];
}

/**
 * Nodes and PeerPods, followed by watches also while another leads, so that a new leader knows at once what there is. What is destroyed on
 * the word of a watch alone must be harmless if that is old; everything else is asked again.
 */
export class Watched implements ClusterView {
  readonly #deps: Pick<ControllerDeps, "client" | "clock" | "log">;
  readonly #nodes = new Map<string, NodeObject>();
  readonly #peerPods = new Map<string, PeerPodFacts>();
  readonly #nodeView: View = { isSynced: false, trouble: "" };
  readonly #peerPodView: View = { isSynced: false, trouble: "" };
  #onChange: () => void = () => undefined;

  constructor(deps: Pick<ControllerDeps, "client" | "clock" | "log">) {
    this.#deps = deps;
  }

  /** Called at each change, until another function is given. */
  onChange(call: () => void): void {
    this.#onChange = call;
  }

  /** Follows until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([
      follow(
        this.#deps,
        { resource: LEAN_NODES, query: {} },
        {
          put: (node) => this.#changeNode(node.metadata.name, node),
          removed: (node) => this.#changeNode(node.metadata.name, undefined),
          ...this.#tellers(this.#nodeView),
        },
        signal,
      ),
      follow(
        this.#deps,
        { resource: PEER_PODS, query: {} },
        {
          put: (peerPod) => {
            this.#peerPods.set(keyOf(peerPod.metadata), readPeerPod(peerPod));
            if (this.#peerPodView.isSynced) this.#onChange();
          },
          removed: (peerPod) => void this.#peerPods.delete(keyOf(peerPod.metadata)),
          ...this.#tellers(this.#peerPodView),
        },
        signal,
      ),
    ]);
  }

  /** Kubelets write their Nodes all the time; only that one comes or goes, or is out of service, is a change. */
  #changeNode(name: string, node: NodeObject | undefined): void {
    const isChange = nodeState(this.#nodes.get(name)) !== nodeState(node);
    if (node === undefined) this.#nodes.delete(name);
    else this.#nodes.set(name, node);
    if (isChange && this.#nodeView.isSynced) this.#onChange();
  }

  #tellers(view: View): { synced(): void; trouble(error: Error | undefined): void } {
    return {
      synced: () => {
        view.isSynced = true;
        this.#onChange();
      },
      trouble: (error) => {
        view.trouble = error?.message ?? "";
      },
    };
  }

  whyNodesUnknown(): string | undefined {
    if (!this.#nodeView.isSynced) return this.#nodeView.trouble || "the nodes have not been listed yet";
    if (this.#nodeView.trouble !== "") return this.#nodeView.trouble;
    return this.#nodes.size === 0 ? "the API server has no node at all" : undefined;
  }

  whyPeerPodsUnknown(): string | undefined {
    if (!this.#peerPodView.isSynced)
      return this.#peerPodView.trouble || "the PeerPods have not been listed yet";
    return this.#peerPodView.trouble === "" ? undefined : this.#peerPodView.trouble;
  }

  node(name: string): NodeObject | undefined {
    return this.#nodes.get(name);
  }

  peerPods(): readonly PeerPodFacts[] {
    return [...this.#peerPods.values()];
  }
}

const keyOf = ({
  namespace,
  name,
}: {
  readonly namespace?: string | undefined;
  readonly name: string;
}): string => `${namespace ?? ""}/${name}`;
