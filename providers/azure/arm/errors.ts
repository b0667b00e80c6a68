import {
  alreadyExists,
  CaaError,
  cancelled,
  capacityExhausted,
  deadlineExceeded,
  type ErrorDetails,
  gone,
  internal,
  invalidConfig,
  invalidRequest,
  quotaExceeded,
  throttled,
  unauthorised,
  unavailable,
} from "../../../src/errors/index.ts";
import { errorFromStatus } from "../../retry/index.ts";
import {
  type AzureFailure,
  isAlreadyThere,
  isBadImage,
  isBusy,
  isForbidden,
  isGuestNeverReady,
  isNicReserved,
  isNotConfidentialSize,
  isNotThere,
  isOutOfCapacity,
  isQuotaExceeded,
  isSizeNotOffered,
  isSubnetFull,
  isSubscriptionUnusable,
  isThrottled,
  isTokenRefused,
  quotaNumbers,
} from "./failure.ts";
import { FAILED_ANSWER, retryAfterOf } from "./gate.ts";

/** Azure's own words that go into ours, at most. */
const MAX_QUOTED = 400;

function field(value: unknown, key: PropertyKey): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** The error object of an ARM answer: `{error: {code, message, details}}`, or the same without the wrapping. */
function bodyError(body: string): { readonly code: string; readonly message: string } | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    // Gateways answer in HTML: then only the status speaks.
    return undefined;
  }
  const error = field(parsed, "error") ?? parsed;
  const inner = field(error, "details");
  const detail = Array.isArray(inner) ? inner.find((one) => text(field(one, "code")) !== "") : undefined;
  const code = text(field(error, "code"));
  const message = text(field(error, "message"));
  if (code === "" && message === "") return undefined;
  const vague = detail !== undefined && /^(Conflict|BadRequest|DeploymentFailed)$/i.test(code);
  return vague
    ? { code: text(field(detail, "code")), message: text(field(detail, "message")) || message }
    : { code, message };
}

/**
 * What Azure said, out of whatever the SDK threw: a RestError with the answer in it, or the plain Error of a poller whose
 * operation failed, which carries the code in its text only (core-lro 3, poller/operation.js). Undefined for anything else.
 */
export function azureFailure(error: unknown, nowMs: number): AzureFailure | undefined {
  if (!(error instanceof Error)) return undefined;
  const poller = /^The long-running operation has failed(?:\. ([^.\s]+)\. ([\s\S]*))?$/.exec(error.message);
  if (poller) return { status: 0, code: poller[1] ?? "", message: poller[2] ?? "no reason given" };
  if (error.message === "Operation was canceled")
    return { status: 0, code: "OperationPreempted", message: error.message };
  const status = field(error, "statusCode");
  if (typeof status !== "number") return undefined;
  const response = field(error, "response");
  const fromBody = bodyError(text(field(field(error, "request"), FAILED_ANSWER)));
  const headers = field(response, "headers");
  const header = (name: string): string | undefined => {
    const get = field(headers, "get");
    const value: unknown = typeof get === "function" ? Reflect.apply(get, headers, [name]) : undefined;
    return typeof value === "string" ? value : undefined;
  };
  const retryAfterMs = retryAfterOf(header, nowMs);
  return {
    status,
    code: fromBody?.code || text(field(error, "code")),
    message: fromBody?.message || error.message,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

export interface ErrorContext {
  /** What we tried, on what: `create VM podvm-a-1`. */
  readonly what: string;
  readonly nowMs: number;
  /** The signal of the caller; once aborted, the error is `cancelled`. */
  readonly signal?: AbortSignal;
  /** The size and place that were asked for, for messages. */
  readonly place?: string;
}

/** Turns anything thrown by the SDK into the CaaError that the contract promises. CaaErrors pass as they are. */
export function toCaaError(error: unknown, context: ErrorContext): CaaError {
  if (error instanceof CaaError) return error;
  if (context.signal?.aborted) {
    const reason: unknown = context.signal.reason;
    return reason instanceof CaaError
      ? reason
      : cancelled(`gave up to ${context.what}: the caller cancelled`, { cause: error });
  }
  const failure = azureFailure(error, context.nowMs);
  if (failure) return fromFailure(failure, context, error);
  const name = text(field(error, "name"));
  if (name === "RestError" || name === "AbortError" || name === "TimeoutError") {
    const detail = error instanceof Error ? error.message : String(error);
    return unavailable(`cannot ${context.what}: no usable answer from Azure (${oneLine(detail)})`, {
      cause: error,
    });
  }
  return internal(`cannot ${context.what}: unexpected failure of the Azure SDK`, { cause: error });
}

/** The CaaError for what Azure said: its kind by the predicates, and one line that says what to change. */
export function fromFailure(failure: AzureFailure, context: ErrorContext, cause?: unknown): CaaError {
  const details: ErrorDetails = {
    ...(cause === undefined ? {} : { cause: new Error(`${failure.code}: ${quoted(failure)}`) }),
    ...(failure.retryAfterMs === undefined ? {} : { retryAfterMs: failure.retryAfterMs }),
  };
  const say = (hint: string): string =>
    `cannot ${context.what}: ${hint} (Azure: ${[failure.status || "", failure.code].filter(Boolean).join(" ")} ${quoted(failure)})`;
  for (const rule of RULES) {
    if (rule.when(failure)) return rule.make(say(rule.hint(failure, context.place ?? "the size")), details);
  }
  const hint = failure.status === 0 ? "the operation failed" : `status ${failure.status}`;
  return failure.status === 0
    ? unavailable(say(hint), details)
    : errorFromStatus(failure.status, say(hint), details);
}

interface Rule {
  readonly when: (failure: AzureFailure) => boolean;
  readonly make: (message: string, details?: ErrorDetails) => CaaError;
  readonly hint: (failure: AzureFailure, place: string) => string;
}

/** First match wins, so the particular stands before the general. */
const RULES: readonly Rule[] = [
  { when: isThrottled, make: throttled, hint: () => "Azure asks us to slow down" },
  { when: isQuotaExceeded, make: quotaExceeded, hint: quotaHint },
  {
    when: isSubnetFull,
    make: quotaExceeded,
    hint: () => "the subnet has no free address: enlarge it or use another AZURE_SUBNET_ID",
  },
  {
    when: isSizeNotOffered,
    make: capacityExhausted,
    hint: (_failure, place) => `${place} is not offered to this subscription: allow another size or zone`,
  },
  {
    when: isOutOfCapacity,
    make: capacityExhausted,
    hint: (_failure, place) => `Azure has no room for ${place} now: allow more sizes or zones`,
  },
  {
    when: isNotConfidentialSize,
    make: invalidRequest,
    hint: (_failure, place) =>
      `${place} cannot be a confidential VM: choose a DCas, ECas, DCes or ECes size, or set DISABLECVM=true`,
  },
  {
    when: isGuestNeverReady,
    make: deadlineExceeded,
    hint: () =>
      "the VM started but its guest never reported ready: check AZURE_IMAGE_ID, the image's boot log and secure boot",
  },
  {
    when: isSubscriptionUnusable,
    make: invalidConfig,
    hint: () => "the subscription cannot be used: register Microsoft.Compute and Microsoft.Network in it",
  },
  {
    when: isTokenRefused,
    make: unauthorised,
    hint: () => "Azure does not accept our token: check tenant, client id and secret or federated credential",
  },
  {
    when: isForbidden,
    make: unauthorised,
    hint: () => "our identity lacks a right: see the list of permissions in docs/providers/azure.md",
  },
  {
    when: isBadImage,
    make: invalidRequest,
    hint: () => "the image cannot be used: check AZURE_IMAGE_ID and that it is replicated to the region",
  },
  { when: isNotThere, make: gone, hint: () => "there is no such resource" },
  { when: isAlreadyThere, make: alreadyExists, hint: () => "it exists already" },
  { when: isNicReserved, make: unavailable, hint: () => "the interface is still reserved for its VM" },
  { when: isBusy, make: unavailable, hint: () => "another operation on it is not finished" },
];

function quotaHint(failure: AzureFailure, place: string): string {
  const numbers = quotaNumbers(failure.message);
  const seen = numbers
    ? `: ${numbers.usage} of ${numbers.limit} used and ${numbers.required} more needed`
    : "";
  return `the subscription's quota does not allow ${place}${seen}; ask Azure for more or delete VMs`;
}

function quoted(failure: AzureFailure): string {
  const line = oneLine(failure.message);
  return line.length > MAX_QUOTED ? `${line.slice(0, MAX_QUOTED)}...` : line;
}

function oneLine(message: string): string {
  return message.replaceAll(/\s+/g, " ").trim();
}
