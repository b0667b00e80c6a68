import { Code } from "../errors/index.ts";
import type { Clock } from "../platform/index.ts";
import {
  decodeRequest,
  encodeRequest,
  encodeResponse,
  type Frame,
  FrameType,
  type OutgoingFrame,
  type RequestEnvelope,
  type StreamIds,
} from "../ttrpc/index.ts";

/** What to do with a frame from a shim. */
export type Admission =
  | { readonly kind: "request"; readonly request: RequestEnvelope }
  | { readonly kind: "refused"; readonly answer: OutgoingFrame }
  | { readonly kind: "ignored" };

const NO_BYTES = new Uint8Array(0);

/** An answer that is nothing but a status. */
export function statusFrame(streamId: number, code: number, message: string): OutgoingFrame {
  const data = encodeResponse({ status: { code, message }, payload: NO_BYTES });
  return { streamId, type: FrameType.Response, flags: 0, data };
}

/** A good answer. */
export function okFrame(streamId: number, payload: Uint8Array): OutgoingFrame {
  return { streamId, type: FrameType.Response, flags: 0, data: encodeResponse({ payload }) };
}

/**
 * Judges a frame as the Go server does (containerd/ttrpc v1.2.7 server.go): ids are odd and used once, data without a
 * stream is refused, unknown types are ignored. Streaming, which no service behind us has, is refused as unimplemented.
 */
export function admit(frame: Frame, ids: StreamIds): Admission {
  const { streamId, type, flags } = frame;
  const refuse = (code: number, message: string): Admission => ({
    kind: "refused",
    answer: statusFrame(streamId, code, message),
  });
  if (type === FrameType.Data)
    return refuse(Code.InvalidArgument, `stream ${streamId} is not open for data; only unary calls pass`);
  if (type !== FrameType.Request) return { kind: "ignored" };
  if (frame.oversizedBytes !== undefined)
    return refuse(
      Code.ResourceExhausted,
      `the request has ${frame.oversizedBytes} bytes, 4 MiB is the limit`,
    );
  if (streamId % 2 !== 1) return refuse(Code.InvalidArgument, `stream id ${streamId} must be odd`);
  if (!ids.use(streamId)) return refuse(Code.InvalidArgument, `stream id ${streamId} was used before`);
  if (flags !== 0) return refuse(Code.Unimplemented, "streaming calls are not supported");
  try {
    return { kind: "request", request: decodeRequest(frame.data) };
  } catch {
    return refuse(Code.InvalidArgument, "the request envelope is not valid protobuf");
  }
}

const NANOS_PER_MS = 1_000_000;

/** When the caller's time is over on the monotonic clock, or undefined for a call without limit. */
export function deadlineOf(request: RequestEnvelope, clock: Clock): number | undefined {
  if (request.timeoutNano <= 0n) return undefined;
  return clock.monotonicMs() + Number(request.timeoutNano) / NANOS_PER_MS;
}

/** The request's bytes with what is left of its time. `data` as it came when it has no limit. */
export function withRemainingTime(data: Buffer, deadlineMs: number | undefined, clock: Clock): Buffer {
  if (deadlineMs === undefined) return data;
  const remainingMs = Math.max(deadlineMs - clock.monotonicMs(), 1 / NANOS_PER_MS);
  return encodeRequest({
    ...decodeRequest(data),
    timeoutNano: BigInt(Math.round(remainingMs * NANOS_PER_MS)),
  });
}
