import type { OrphanReason } from "./vm-verdict.ts";

/** Why a VM was to be deleted: nobody's, or of a PeerPod that is being deleted. */
export type VmDeleteReason = OrphanReason | "peer-pod";

/** `refused`: the VM is not what the PeerPod says, or not this cluster's. */
export type VmDeleteOutcome = "deleted" | "gone" | "refused" | "failed" | "dry-run";

/** One thing that the controller did or saw: for metrics and logs. Holds no secret. */
export type ControllerNotice =
  | { readonly kind: "leader"; readonly isLeader: boolean }
  | {
      readonly kind: "vm-delete";
      readonly reason: VmDeleteReason;
      readonly outcome: VmDeleteOutcome;
      readonly vmName: string;
      readonly durationMs: number;
    }
  /** A look at the cloud's VMs. `due` of the suspects could be deleted now; more than the budget are left for the next look. */
  | {
      readonly kind: "sweep";
      readonly vms: number;
      readonly suspects: Readonly<Record<OrphanReason, number>>;
      readonly due: number;
      readonly durationMs: number;
    }
  /** Cloud or cluster could not be asked, or said what cannot be: nothing was deleted. */
  | { readonly kind: "sweep-failed"; readonly error: string }
  /** All PeerPods as they stand; `waiting` are being deleted and left to the adaptor, `living` held back for a pod that lives. */
  | {
      readonly kind: "peer-pods";
      readonly total: number;
      readonly deleting: number;
      readonly waiting: number;
      readonly living: number;
    }
  /** `released`: its finalizer was removed. `superseded` and `node-gone`: the object was deleted by us. */
  | {
      readonly kind: "peer-pod";
      readonly action: "released" | "superseded" | "node-gone" | "failed";
      readonly name: string;
    }
  | { readonly kind: "shim-proxies"; readonly total: number; readonly outdated: number }
  | { readonly kind: "shim-proxy-replaced"; readonly nodeName: string };

/** Takes notices, quickly and without throwing. */
export type ControllerObserver = (notice: ControllerNotice) => void;
