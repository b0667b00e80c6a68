/** Status codes of ttrpc, which are gRPC's (google.rpc.Code). */
export const TtrpcCode = {
  Ok: 0,
  Cancelled: 1,
  Unknown: 2,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  OutOfRange: 11,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
  DataLoss: 15,
  Unauthenticated: 16,
} as const;

/** A call or a connection that failed, with the status code that the other side sees or sent. */
export class TtrpcError extends Error {
  /** One of TtrpcCode; what a peer sent is kept as it came, other numbers included. */
  readonly code: number;

  constructor(code: number, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = "TtrpcError";
    this.code = code;
  }
}

/** Longest status text that is sent, characters; more is cut, so that an error always fits into a frame. */
export const MAX_STATUS_TEXT_LENGTH: number = 64 * 1024;

/** The status in which a handler's failure leaves: never OK, text of bounded length. */
export interface FailureStatus {
  readonly code: number;
  readonly message: string;
}

/**
 * The status of anything that was thrown. An object with a whole `code` from 1 to 16 keeps it, whatever its class;
 * an AbortError is a cancel and a TimeoutError a deadline; all else is Unknown with its text, as in Go's implementation
 * (containerd/ttrpc services.go, convertCode).
 */
export function statusOf(error: unknown): FailureStatus {
  return { code: codeOf(error), message: textOf(error).slice(0, MAX_STATUS_TEXT_LENGTH) };
}

/** One line for anything that was thrown. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function codeOf(error: unknown): number {
  if (typeof error !== "object" || error === null) return TtrpcCode.Unknown;
  const name = "name" in error ? error.name : undefined;
  if (name === "AbortError") return TtrpcCode.Cancelled;
  if (name === "TimeoutError") return TtrpcCode.DeadlineExceeded;
  // A DOMException has numeric codes of its own, which mean something else.
  if (error instanceof DOMException) return TtrpcCode.Unknown;
  const code = "code" in error ? error.code : undefined;
  const isStatus = typeof code === "number" && Number.isInteger(code) && code >= 1 && code <= 16;
  return isStatus ? code : TtrpcCode.Unknown;
}
