import { StopVMRequest } from "../gen/hypervisor/hypervisor.ts";
import type { RequestEnvelope } from "../ttrpc/index.ts";
import { isSandboxId } from "./sandbox-id.ts";

/** A hypervisor call that was not answered yet. */
export interface HypervisorCall {
  readonly streamId: number;
  readonly method: string;
  /** Of CreateVM, StartVM and StopVM; empty for the others and for a request that does not say. */
  readonly sandboxId: string;
  readonly data: Buffer;
  /** On the monotonic clock. */
  readonly deadlineMs: number | undefined;
  /** Owners that died while they worked on it. */
  deaths: number;
  /** Whether some owner has had it. */
  everDelivered: boolean;
  /** Whether it is with the owner of the connection's upstream now. */
  delivered: boolean;
  /** Whether the connection to the owner broke under it, and the owner is not known to be dead or alive since. */
  suspect: boolean;
  cancelTimer: (() => void) | undefined;
}

const SERVICE = "hypervisor.Hypervisor";
const METHODS_WITH_ID: readonly string[] = ["CreateVM", "StartVM", "StopVM"];

/**
 * The sandbox that a request is about, or "". A text that can be no sandbox's id is passed on for the control plane to refuse,
 * and not remembered: a stop of it could never be acknowledged.
 */
export function sandboxIdOf(request: RequestEnvelope): string {
  if (request.service !== SERVICE || !METHODS_WITH_ID.includes(request.method)) return "";
  try {
    // The id is field 1 of all three messages.
    const { id } = StopVMRequest.decode(request.payload);
    return isSandboxId(id) ? id : "";
  } catch {
    return "";
  }
}

/** Whether losing this call would lose a VM. */
export const isStop = (call: { readonly method: string; readonly sandboxId: string }): boolean =>
  call.method === "StopVM" && call.sandboxId !== "";
