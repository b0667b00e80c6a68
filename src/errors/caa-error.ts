/** gRPC status codes, which ttrpc shares (google.rpc.Code). */
export const Code = {
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
export type Code = (typeof Code)[keyof typeof Code];

/** What an error means. docs/errors.md explains each; a test holds the two lists equal. */
export type ErrorKind =
  | "cancelled"
  | "invalid-request"
  | "invalid-config"
  | "invalid-initdata"
  | "deadline"
  | "not-found"
  | "gone"
  | "already-exists"
  | "conflict"
  | "unauthorised"
  | "limit"
  | "quota"
  | "capacity"
  | "throttled"
  | "too-large"
  | "wrong-state"
  | "unsupported"
  | "internal"
  | "unavailable"
  | "network"
  | "journal";

/** The status that a caller on a socket gets for each kind. */
export const KINDS: Readonly<Record<ErrorKind, Code>> = {
  cancelled: Code.Cancelled,
  "invalid-request": Code.InvalidArgument,
  "invalid-config": Code.InvalidArgument,
  "invalid-initdata": Code.InvalidArgument,
  deadline: Code.DeadlineExceeded,
  "not-found": Code.NotFound,
  gone: Code.NotFound,
  "already-exists": Code.AlreadyExists,
  conflict: Code.Aborted,
  unauthorised: Code.PermissionDenied,
  limit: Code.ResourceExhausted,
  quota: Code.ResourceExhausted,
  capacity: Code.ResourceExhausted,
  throttled: Code.ResourceExhausted,
  "too-large": Code.ResourceExhausted,
  "wrong-state": Code.FailedPrecondition,
  unsupported: Code.Unimplemented,
  internal: Code.Internal,
  unavailable: Code.Unavailable,
  network: Code.Unavailable,
  journal: Code.DataLoss,
};

export interface ErrorDetails {
  readonly cause?: unknown;
  /** For `throttled`: how long the other side asked us to wait, milliseconds; an hour at most counts. */
  readonly retryAfterMs?: number;
}

/** Whoever asks for a longer pause is asked again after this: a clock that is set wrong, or a proxy's text, must not end the asking. */
const MAX_RETRY_AFTER_MS = 60 * 60_000;

/** The one error class of the product. Its message says what failed, on which object, and what to do next. */
export class CaaError extends Error {
  readonly kind: ErrorKind;
  readonly code: Code;
  readonly retryAfterMs: number | undefined;

  constructor(kind: ErrorKind, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "CaaError";
    this.kind = kind;
    this.code = KINDS[kind];
    const { retryAfterMs } = details;
    this.retryAfterMs = retryAfterMs === undefined ? undefined : Math.min(retryAfterMs, MAX_RETRY_AFTER_MS);
  }
}

/** Whether `error` is one of ours, of one of the given kinds if any are given. */
export function isCaaError(error: unknown, ...kinds: readonly ErrorKind[]): error is CaaError {
  return error instanceof CaaError && (kinds.length === 0 || kinds.includes(error.kind));
}

/** One line of text for anything that was thrown, causes included. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  let current: unknown = error;
  while (current !== undefined && parts.length < 6) {
    const text =
      current instanceof Error
        ? current.message
        : typeof current === "string"
          ? current
          : JSON.stringify(current);
    if (!parts.some((part) => part.includes(text))) parts.push(text);
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(": ").replaceAll(/\s*\n\s*/g, " ");
}
