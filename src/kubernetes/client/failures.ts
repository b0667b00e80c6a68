import type { IncomingHttpHeaders } from "node:http";
import * as v from "valibot";
import {
  alreadyExists,
  type CaaError,
  conflict,
  gone,
  invalidRequest,
  notFound,
  throttled,
  tooLarge,
  unauthorised,
  unavailable,
  unsupported,
} from "../../errors/index.ts";

/** The API server's `Status` (meta/v1), as far as we act on it. */
const STATUS = v.object({
  message: v.optional(v.string(), ""),
  reason: v.optional(v.string(), ""),
  code: v.optional(v.number(), 0),
  details: v.optional(v.object({ retryAfterSeconds: v.optional(v.number()) })),
});

/** What was asked, for the error's text: `patch nodes/status worker-1`. */
export interface Asked {
  readonly verb: string;
  /** Resource with its group and subresource, as a ClusterRole names it: `nodes/status`. */
  readonly resource: string;
  /** `namespace/name`, `name`, or "" for a list. */
  readonly object: string;
}

export interface Refusal {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const MAX_TEXT_CHARS = 400;

/** An answer that is not 2xx as an error of ours. */
export function apiFailure(asked: Asked, refusal: Refusal): CaaError {
  const said = parseStatus(refusal.body);
  const status = refusal.status;
  const text = oneLine(said.message === "" ? refusal.body : said.message);
  const what = describeAsked(asked);
  const details = retryAfter(said, refusal.headers);
  switch (status) {
    case 401:
      return unauthorised(
        `${what}: the API server does not know us (401); the token or certificate may have expired`,
      );
    case 403:
      return unauthorised(
        `${what}: the API server does not allow it (403): ${text}; the role of our service account lacks verb ${asked.verb} on ${asked.resource}, or an admission rule says no`,
      );
    case 404:
      return notFound(`${what}: not found (404): ${text}`);
    case 405:
      return unsupported(`${what}: the API server does not do that (405): ${text}`);
    case 409:
      return said.reason === "AlreadyExists"
        ? alreadyExists(`${what}: there is one already (409)`)
        : conflict(`${what}: it was changed by somebody else (409): ${text}`);
    case 410:
      return gone(`${what}: this version is no longer known (410): ${text}`);
    case 413:
      return tooLarge(`${what}: the API server finds it too large (413): ${text}`);
    case 429:
      return throttled(`${what}: the API server asks to slow down (429): ${text}`, details);
    default:
      return status >= 400 && status < 500
        ? invalidRequest(`${what}: the API server refuses it (${status}): ${text}`)
        : unavailable(`${what}: the API server failed (${status}): ${text}`, details);
  }
}

/** No answer: the connection failed, or none came in time. */
export function unreachable(asked: Asked, cause: unknown): CaaError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return unavailable(`${describeAsked(asked)}: the API server does not answer: ${oneLine(text)}`, { cause });
}

export const describeAsked = ({ verb, resource, object }: Asked): string =>
  object === "" ? `${verb} ${resource}` : `${verb} ${resource} ${object}`;

/** The refusal in an ERROR event of a watch, whose object is a Status. */
export function watchFailure(asked: Asked, status: unknown): CaaError {
  const body = JSON.stringify(status);
  return apiFailure(asked, { status: parseStatus(body).code, headers: {}, body });
}

function parseStatus(body: string): v.InferOutput<typeof STATUS> {
  try {
    return v.parse(STATUS, JSON.parse(body));
  } catch {
    // Not the API server but a proxy before it, which may say anything: the HTTP status stands for it.
    return { message: "", reason: "", code: 0 };
  }
}

function retryAfter(
  said: v.InferOutput<typeof STATUS>,
  headers: IncomingHttpHeaders,
): { readonly retryAfterMs?: number } {
  const seconds = Number(headers["retry-after"] ?? said.details?.retryAfterSeconds);
  return Number.isFinite(seconds) && seconds > 0 ? { retryAfterMs: seconds * 1000 } : {};
}

const oneLine = (text: string): string => {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line.length > MAX_TEXT_CHARS ? `${line.slice(0, MAX_TEXT_CHARS)}…` : line;
};
