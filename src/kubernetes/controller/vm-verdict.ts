import { OwnerTag, POOL_SANDBOX, type Vm } from "../../../providers/contract.ts";
import type { NodeState } from "./resources.ts";

/** Why a VM counts as nobody's. `pool-abandoned`: it waits in the warm pool of a node that has no adaptor any more. */
export type OrphanReason = "node-gone" | "node-out-of-service" | "pod-gone" | "pool-abandoned";

/** Reasons that prove nothing at once: they must have held without a break for the grace of orphans. */
export const isGraced = (reason: OrphanReason): boolean =>
  reason === "pod-gone" || reason === "pool-abandoned";

/** Its tags name no pod, also once one has taken it. */
export const isOfPool = (vm: Vm): boolean => vm.tags[OwnerTag.Sandbox] === POOL_SANDBOX;

/** What is known around one VM. */
export interface VmSurroundings {
  readonly clusterId: string;
  /** Of the VM's node tag. */
  readonly node: NodeState;
  /** Confirmed twice, a while apart. */
  readonly isNodeProvenGone: boolean;
  /**
   * The pod that its tags name; for a VM of a warm pool, any pod of its node that may have taken it. Only looked at where no adaptor is on
   * the node; `unknown` else.
   */
  readonly pod: "there" | "gone" | "unknown";
  readonly hasAdaptor: boolean;
  readonly hasPeerPod: boolean;
}

export type VmVerdict =
  | { readonly kind: "keep"; readonly why: string }
  /** Nobody's, once it was so for the time that the reason asks for. */
  | { readonly kind: "suspect"; readonly reason: OrphanReason; readonly isProven: boolean };

const keep = (why: string): VmVerdict => ({ kind: "keep", why });

/** Pure: what a VM of a complete list is. Everything that is not understood is kept. */
export function verdictOf(vm: Vm, around: VmSurroundings): VmVerdict {
  // The provider was asked for this tag; a provider that answers more must not cost somebody else's VM.
  if (around.clusterId === "" || vm.tags[OwnerTag.Cluster] !== around.clusterId)
    return keep("another cluster's");
  if ((vm.tags[OwnerTag.Node] ?? "") === "") return keep("has no node in its tags");
  if (vm.lifecycle === "deleting") return keep("is being deleted");
  if (around.node === "absent") {
    return { kind: "suspect", reason: "node-gone", isProven: around.isNodeProvenGone };
  }
  if (around.node === "out-of-service") {
    return { kind: "suspect", reason: "node-out-of-service", isProven: around.isNodeProvenGone };
  }
  if (around.hasAdaptor) return keep("its node's adaptor sees to it");
  if (around.hasPeerPod) return keep("has a PeerPod");
  if (around.pod !== "gone") return keep("its pod may be there");
  return { kind: "suspect", reason: isOfPool(vm) ? "pool-abandoned" : "pod-gone", isProven: false };
}

/** Remembers since when something has been so without a break, by a clock that never goes back. */
export class Since {
  readonly #firstMs = new Map<string, number>();

  /** Milliseconds since `key` was first noted and not forgotten after; 0 the first time. */
  note(key: string, nowMs: number): number {
    const first = this.#firstMs.get(key) ?? nowMs;
    this.#firstMs.set(key, first);
    return nowMs - first;
  }

  has(key: string): boolean {
    return this.#firstMs.has(key);
  }

  forget(key: string): void {
    this.#firstMs.delete(key);
  }

  /** Forgets what is not in `keys`. */
  keepOnly(keys: ReadonlySet<string>): void {
    for (const key of this.#firstMs.keys()) if (!keys.has(key)) this.#firstMs.delete(key);
  }
}
