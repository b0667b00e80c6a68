import * as v from "valibot";
import { mutatePod, UNTOUCHED, type Verdict } from "./mutate.ts";
import type { WebhookPolicy } from "./policy.ts";

const API_VERSION = "admission.k8s.io/v1";

const reviewSchema = v.object({
  apiVersion: v.literal(API_VERSION),
  kind: v.literal("AdmissionReview"),
  request: v.object({
    uid: v.pipe(v.string(), v.minLength(1)),
    operation: v.optional(v.string(), "CREATE"),
    namespace: v.optional(v.string(), ""),
    resource: v.object({ group: v.optional(v.string(), ""), version: v.string(), resource: v.string() }),
    subResource: v.optional(v.string(), ""),
    object: v.record(v.string(), v.unknown()),
  }),
});

/** An AdmissionReview with its response, ready to be sent as JSON. */
export interface ReviewAnswer {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: "AdmissionReview";
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly patchType?: "JSONPatch";
    /** base64 of the operations' JSON. */
    readonly patch?: string;
    readonly warnings?: readonly string[];
    readonly status?: { readonly code: number; readonly message: string };
  };
}

/** What was answered, and about which pod, for the log. */
export interface Reviewed {
  readonly answer: ReviewAnswer;
  readonly verdict: Verdict;
  /** `namespace/name`; of a generated name the prefix. "" when the review cannot be read. */
  readonly pod: string;
}

/** Answers an AdmissionReview. What cannot be read is denied with code 400, as the Go webhook does; it never throws for input. */
export function answerReview(body: string, policy: WebhookPolicy): Reviewed {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return refused("the request's body is not JSON: send an AdmissionReview");
  }
  const result = v.safeParse(reviewSchema, json);
  if (!result.success) {
    const [issue] = result.issues;
    return refused(
      `the request's body is no AdmissionReview of ${API_VERSION}: ${v.getDotPath(issue) ?? "it"}: ${issue.message}`,
    );
  }
  const { request } = result.output;
  const { group, version, resource } = request.resource;
  const isNewPod =
    `${group}/${version}/${resource}` === "/v1/pods" &&
    request.operation === "CREATE" &&
    request.subResource === "";
  const verdict = isNewPod ? mutatePod(request.object, policy) : UNTOUCHED;
  return { answer: answer(request.uid, verdict), verdict, pod: podName(request.namespace, request.object) };
}

/** A refusal of a request that could not be read, and so has no uid. */
export function refused(message: string, code: 400 | 413 = 400): Reviewed {
  const verdict: Verdict = { allowed: false, code: 400, message };
  const { response, ...rest } = answer("", verdict);
  return { answer: { ...rest, response: { ...response, status: { code, message } } }, verdict, pod: "" };
}

function answer(uid: string, verdict: Verdict): ReviewAnswer {
  const head = { apiVersion: API_VERSION, kind: "AdmissionReview" } as const;
  if (!verdict.allowed) {
    const { code, message } = verdict;
    return { ...head, response: { uid, allowed: false, status: { code, message } } };
  }
  const { operations, warnings } = verdict;
  return {
    ...head,
    response: {
      uid,
      allowed: true,
      ...(operations.length === 0
        ? {}
        : {
            patchType: "JSONPatch",
            patch: Buffer.from(JSON.stringify(operations)).toString("base64"),
          }),
      ...(warnings.length === 0 ? {} : { warnings }),
    },
  };
}

const nameSchema = v.object({
  metadata: v.object({ name: v.optional(v.string(), ""), generateName: v.optional(v.string(), "") }),
});

function podName(namespace: string, object: unknown): string {
  const result = v.safeParse(nameSchema, object);
  const { name, generateName } = result.success ? result.output.metadata : { name: "", generateName: "" };
  return `${namespace}/${name || generateName}`;
}
