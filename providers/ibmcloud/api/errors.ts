import {
  alreadyExists,
  CaaError,
  cancelled,
  capacityExhausted,
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
import { errorFromStatus, parseRetryAfter } from "../../retry/index.ts";
import {
  type IbmFailure,
  isBadImage,
  isBusy,
  isEmptyField,
  isForbidden,
  isHostUnusable,
  isNameTaken,
  isNotThere,
  isOutOfCapacity,
  isProfileNotOffered,
  isQuotaExceeded,
  isSubnetFull,
  isThrottled,
  isTokenRefused,
  isWrongConfidentialMode,
  quotaNumbers,
} from "./failure.ts";

/** IBM's own words that go into ours, at most. */
const MAX_QUOTED = 400;

/** Said where an s390x profile is refused or missing: what the operator may not know. */
export const LINUXONE_NOTE =
  "IBM made its last LinuxONE (s390x) instances on VPC on 28 February 2026 and deletes those that are left on 20 February 2027: use an x86 profile, bx3dc or cx3dc for confidential VMs";

/** Whether a profile's name is of the LinuxONE families (bz2, cz2, mz2 and their Secure Execution forms). */
export function isLinuxOne(profile: string): boolean {
  return /^[a-z]z\d/.test(profile);
}

function field(value: unknown, key: PropertyKey): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/**
 * What IBM said, out of an error of ibm-cloud-sdk-core (request-wrapper.js, formatError): the first of `errors` of VPC and
 * tagging, or the `errorCode` of IAM, or the `code` and `description` of the container service. Undefined without an answer.
 * The SDK's own message is not used: for 401 and 403 it hides the reason.
 */
export function ibmFailure(error: unknown, nowMs: number): IbmFailure | undefined {
  if (!(error instanceof Error)) return undefined;
  const status = field(error, "status");
  if (typeof status !== "number") return undefined;
  const body = field(error, "result");
  const errors = field(body, "errors");
  const first: unknown = Array.isArray(errors) ? errors[0] : body;
  const headers = field(error, "headers");
  const header = (name: string): string | undefined => text(field(headers, name)) || undefined;
  const retryAfterMs = parseRetryAfter(header("retry-after"), nowMs);
  const inner = handlerError(text(field(first, "message")));
  return {
    status,
    code: inner?.code || text(field(first, "code")) || text(field(first, "errorCode")),
    message:
      inner?.message ||
      text(field(first, "message")) ||
      text(field(first, "errorMessage")) ||
      text(field(first, "description")) ||
      text(field(error, "statusText")) ||
      "no reason given",
    trace: text(field(body, "trace")) || header("x-request-id") || "",
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

/** VPC sometimes wraps another service's refusal as text: `Handler Error: Status=400, JSON={"errors":[...]}`. */
function handlerError(message: string): { readonly code: string; readonly message: string } | undefined {
  const json = /^Handler Error:.*?JSON=(\{.*\})/s.exec(message)?.[1];
  if (json === undefined) return undefined;
  try {
    const errors = field(JSON.parse(json), "errors");
    const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
    return { code: text(field(first, "code")), message: text(field(first, "message")) };
  } catch {
    // Cut in the middle: then the whole text has to do.
    return undefined;
  }
}

/** Whether a read was answered with "there is no such thing", whatever the words. */
export function isAbsent(error: unknown, nowMs: number): boolean {
  const failure = ibmFailure(error, nowMs);
  return failure !== undefined && isNotThere(failure);
}

export interface ErrorContext {
  /** What we tried, on what: `create VM podvm-a-1`. */
  readonly what: string;
  readonly nowMs: number;
  /** The signal of the caller; once aborted, the error is `cancelled`. */
  readonly signal?: AbortSignal;
  /** The profile and place that were asked for, for messages. */
  readonly place?: string;
}

/** Turns anything thrown on the way to IBM into the CaaError that the contract promises. CaaErrors pass as they are. */
export function toCaaError(error: unknown, context: ErrorContext): CaaError {
  if (error instanceof CaaError) return error;
  if (context.signal?.aborted) {
    const reason: unknown = context.signal.reason;
    return reason instanceof CaaError
      ? reason
      : cancelled(`gave up to ${context.what}: the caller cancelled`, { cause: error });
  }
  const failure = ibmFailure(error, context.nowMs);
  if (failure) return fromFailure(failure, context, error);
  // The SDK makes a bare Error of everything that is no answer; anything more special is a bug of ours.
  if (error instanceof Error && error.name === "Error") {
    const code = text(field(error, "statusText"));
    const hint = code === "ENOTFOUND" ? "; check the region and IBMCLOUD_VPC_ENDPOINT" : "";
    const said = [code, oneLine(error.message)].filter(Boolean).join(" ");
    return unavailable(`cannot ${context.what}: no answer from IBM Cloud (${said})${hint}`, { cause: error });
  }
  return internal(`cannot ${context.what}: unexpected failure of the IBM SDK`, { cause: error });
}

/** The CaaError for what IBM said: its kind by the predicates, and one line that says what to change. */
export function fromFailure(failure: IbmFailure, context: ErrorContext, cause?: unknown): CaaError {
  const details: ErrorDetails = {
    ...(cause === undefined ? {} : { cause: new Error(`${failure.code}: ${quoted(failure)}`) }),
    ...(failure.retryAfterMs === undefined ? {} : { retryAfterMs: failure.retryAfterMs }),
  };
  const said = [failure.status || "", failure.code, quoted(failure)].filter(Boolean).join(" ");
  const trace = failure.trace === "" ? "" : `, trace ${failure.trace}`;
  const say = (hint: string): string => `cannot ${context.what}: ${hint} (IBM: ${said}${trace})`;
  const place = context.place ?? "the profile";
  for (const rule of RULES) {
    if (rule.when(failure)) return rule.make(say(rule.hint(failure, place)), details);
  }
  if (failure.status === 0) return unavailable(say("the instance did not start"), details);
  return errorFromStatus(failure.status, say(`status ${failure.status}`), details);
}

interface Rule {
  readonly when: (failure: IbmFailure) => boolean;
  readonly make: (message: string, details?: ErrorDetails) => CaaError;
  readonly hint: (failure: IbmFailure, place: string) => string;
}

/** First match wins, so the particular stands before the general. */
const RULES: readonly Rule[] = [
  { when: isThrottled, make: throttled, hint: () => "IBM asks us to slow down" },
  {
    when: isTokenRefused,
    make: unauthorised,
    hint: () => "IBM does not accept our token: check IBMCLOUD_API_KEY or IBMCLOUD_IAM_PROFILE_ID",
  },
  { when: isForbidden, make: unauthorised, hint: forbiddenHint },
  { when: isQuotaExceeded, make: quotaExceeded, hint: quotaHint },
  {
    when: isSubnetFull,
    make: quotaExceeded,
    hint: () => "the subnet has no free address: use a larger one in IBMCLOUD_VPC_SUBNET_ID",
  },
  {
    when: isOutOfCapacity,
    make: capacityExhausted,
    hint: (_failure, place) =>
      `IBM has no room for ${place} now: allow more profiles or a subnet in another zone`,
  },
  {
    when: isHostUnusable,
    make: capacityExhausted,
    hint: (_failure, place) => `the dedicated host does not take ${place} now: add a host group`,
  },
  {
    when: isWrongConfidentialMode,
    make: invalidRequest,
    hint: (_failure, place) =>
      `${place} cannot be a confidential VM that way: choose a bx3dc or cx3dc profile, or set DISABLECVM=true`,
  },
  { when: isProfileNotOffered, make: capacityExhausted, hint: profileHint },
  {
    when: isEmptyField,
    make: invalidConfig,
    hint: () => "an id in the request is empty or of another kind: check VPC, subnet, image and key ids",
  },
  { when: isNameTaken, make: alreadyExists, hint: () => "the name is taken in this region" },
  {
    when: isBadImage,
    make: invalidRequest,
    hint: (_failure, place) => `the image cannot be used with ${place}: check IBMCLOUD_PODVM_IMAGE_ID`,
  },
  { when: isNotThere, make: gone, hint: () => "there is no such resource" },
  { when: isBusy, make: unavailable, hint: () => "another operation on it is not finished" },
];

function forbiddenHint(failure: IbmFailure): string {
  const spoofing = /spoof/i.test(failure.message)
    ? "IP spoofing on the second interface needs the role IP Spoofing Operator"
    : "our identity lacks a role: Editor on VPC Infrastructure Services, Viewer on the resource group, Viewer on the cluster";
  return `${spoofing}; see docs/providers/ibmcloud.md`;
}

function quotaHint(failure: IbmFailure, place: string): string {
  const numbers = quotaNumbers(failure.message);
  const seen = numbers ? `: ${numbers.allocated} of ${numbers.quota} in use` : "";
  return `the account's quota does not allow ${place}${seen}; ask IBM for more or delete instances`;
}

function profileHint(_failure: IbmFailure, place: string): string {
  return isLinuxOne(place)
    ? `${place} is not offered: ${LINUXONE_NOTE}`
    : `${place} is not offered here: allow another profile or zone`;
}

function quoted(failure: IbmFailure): string {
  const line = oneLine(failure.message);
  return line.length > MAX_QUOTED ? `${line.slice(0, MAX_QUOTED)}...` : line;
}

function oneLine(message: string): string {
  return message.replaceAll(/\s+/g, " ").trim();
}
