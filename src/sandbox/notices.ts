import type { ErrorKind } from "../errors/index.ts";
import type { ShimProxyEvent } from "../shim-proxy/index.ts";

/** Which pod a notice is about, as far as CreateVM and the container runtime have told. */
export interface PodRef {
  readonly sandboxId: string;
  readonly podNamespace: string;
  readonly podName: string;
  /** Undefined while it is not known. */
  readonly podUid: string | undefined;
}

/**
 * What takes time in a pod's life. `create`, `start` and `stop` are the shim's calls as a whole; `vm.create`, `tunnel.set-up`
 * and `link` are parts of a start, `tunnel.remove` and `vm.delete` of a stop or of cleaning up after a failed start.
 */
export type LifecycleStep =
  | "create"
  | "start"
  | "vm.create"
  | "tunnel.set-up"
  | "link"
  | "stop"
  | "tunnel.remove"
  | "vm.delete";

/** One thing that happened in the life of a pod: for metrics, events and people. Holds no secret. */
export type LifecycleNotice =
  | {
      readonly kind: "done";
      readonly step: LifecycleStep;
      /** Absent for the delete of a VM that no sandbox owns. */
      readonly pod?: PodRef;
      readonly vmName: string;
      readonly durationMs: number;
    }
  | {
      readonly kind: "failed";
      readonly step: LifecycleStep;
      readonly pod?: PodRef;
      readonly vmName: string;
      readonly durationMs: number;
      readonly error: { readonly kind: ErrorKind; readonly message: string };
    }
  | { readonly kind: "progress"; readonly pod: PodRef; readonly vmName: string; readonly text: string }
  /** As the shim-proxy tells of a link to a VM, and of what its breaks cost. */
  | Extract<ShimProxyEvent, { readonly kind: "link" | "loss" }>
  /** The container runtime and the shim-proxy agree that nobody holds the sandbox any more; it is stopped. */
  | { readonly kind: "abandoned"; readonly sandboxId: string; readonly reason: string }
  /** The cloud says that the VM of a sandbox is gone; the pod is ended. */
  | { readonly kind: "vm-gone"; readonly sandboxId: string; readonly vmName: string; readonly reason: string }
  /** The reaper has looked for VMs that nobody owns; `ownerless` is how many it suspects, undefined when it could not look. */
  | { readonly kind: "reaper-round"; readonly ownerless: number | undefined }
  /** The reaper found a VM that nobody owns. */
  | {
      readonly kind: "orphan";
      readonly vmName: string;
      readonly sandboxId: string;
      readonly action: "deleted" | "dry-run";
    };
