import {
  CaaError,
  type ErrorDetails,
  gone,
  invalidRequest,
  throttled,
  unauthorised,
  unavailable,
} from "../../src/errors/index.ts";

/**
 * What may be done about a failed cloud call: `retry` it after a while; go `elsewhere`, to another size or zone; it is
 * `refused` and stays so until a person changes something; its object is `gone`; the caller `cancelled`; or a `bug`.
 */
export type ErrorClass = "retry" | "elsewhere" | "refused" | "gone" | "cancelled" | "bug";

/** Sorts anything that was thrown. What is not a CaaError is a bug. */
export function classifyError(error: unknown): ErrorClass {
  if (!(error instanceof CaaError)) return "bug";
  switch (error.kind) {
    case "unavailable":
    case "throttled":
      return "retry";
    case "capacity":
      return "elsewhere";
    case "gone":
    case "not-found":
      return "gone";
    case "cancelled":
      return "cancelled";
    case "internal":
    case "journal":
    case "network":
      return "bug";
    default:
      return "refused";
  }
}

/** The error for an HTTP answer of which only the status is understood. `text` says what failed and on what. */
export function errorFromStatus(status: number, text: string, details: ErrorDetails = {}): CaaError {
  if (status === 401 || status === 403) return unauthorised(text, details);
  if (status === 404 || status === 410) return gone(text, details);
  if (status === 429) return throttled(text, details);
  if (status === 408 || status >= 500) return unavailable(text, details);
  return invalidRequest(text, details);
}

/** `Retry-After` (RFC 9110, 10.2.3: whole seconds, or an HTTP date) in milliseconds from `nowMs`; undefined when absent or neither. */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  const text = value?.trim();
  if (!text) return undefined;
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const atMs = Date.parse(text);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}
