import { Code } from "../errors/index.ts";
import { HealthCheckResponse, HealthCheckResponse_ServingStatus } from "../gen/agent/health.ts";
import { decodeResponse, type Frame, type OutgoingFrame } from "../ttrpc/index.ts";
import { type AgentCallKind, describeProcess, LOST_EXIT_STATUS, lostExit } from "./agent-methods.ts";
import { okFrame, statusFrame } from "./requests.ts";

/** A call of the shim that was not answered yet. */
export interface AgentCall {
  readonly streamId: number;
  readonly kind: AgentCallKind;
  readonly method: string;
  /** On the monotonic clock. */
  readonly deadlineMs: number | undefined;
  /** Whether the request stays with us until it is answered. */
  readonly keep: boolean;
  /** The request envelope; dropped once written unless `keep`. */
  data: Buffer | undefined;
  /** The same memory with room for a header, if it need not stay with us. */
  framed: Buffer | undefined;
  /** The link's id of it, from when it was handed to the link. */
  sentAs: number | undefined;
  /** Pending while it waits in the link's queue. */
  waiting: Promise<void> | undefined;
  /** How often it was written. */
  asked: number;
  /** What it counts in its connection's books while it waits for the link. */
  heldBytes: number;
  cancelTimer: (() => void) | undefined;
}

/** Something of the pod was lost by a break (docs/link-losses.md). */
export interface Loss {
  readonly kind: "exit-code" | "output-chunk" | "oom-event" | "call";
  readonly detail: string;
}

export interface Answer {
  readonly answer: OutgoingFrame;
  readonly loss?: Loss;
}

const NO_BYTES = new Uint8Array(0);

/** The payload of a good Check. */
export const SERVING: Uint8Array = HealthCheckResponse.encode(
  HealthCheckResponse.create({ status: HealthCheckResponse_ServingStatus.SERVING }),
).finish();

/**
 * The answer as the shim gets it. It passes as it is, except where a call was asked again and the agent says that it
 * does not know the process any more: the process ended in the gap, which must not look like a failure of the shim's
 * own making. "Invalid argument" (3) passes too: the VM was rebooted, the pod is gone.
 */
export function translateAnswer(call: AgentCall, frame: Frame): Answer {
  const { streamId } = call;
  if (frame.oversizedBytes !== undefined)
    return { answer: statusFrame(streamId, Code.ResourceExhausted, "the agent's answer exceeds 4 MiB") };
  const asItIs: Answer = { answer: { ...frame, streamId } };
  if (call.asked < 2 || call.data === undefined || !isNotFound(frame.data)) return asItIs;
  if (call.kind === "wait") {
    return {
      answer: okFrame(streamId, lostExit()),
      loss: {
        kind: "exit-code",
        detail: `${describeProcess(call.data)} ended while the link was down; ${LOST_EXIT_STATUS} is reported`,
      },
    };
  }
  return call.kind === "read" ? { answer: okFrame(streamId, NO_BYTES) } : asItIs;
}

function isNotFound(data: Buffer): boolean {
  try {
    return decodeResponse(data).status?.code === Code.NotFound;
  } catch {
    return false;
  }
}
