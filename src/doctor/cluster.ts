import * as v from "valibot";
import { describeError, isCaaError } from "../errors/index.ts";
import {
  type ApiObject,
  type ClusterClient,
  METADATA,
  NODES,
  type Resource,
} from "../kubernetes/client/index.ts";
import type { Clock } from "../platform/index.ts";
import { type Check, type Finding, failure, guarded, info, ok, warning } from "./finding.ts";

export interface ClusterQuestions {
  readonly client: ClusterClient;
  readonly clock: Clock;
  /** "": not known. */
  readonly nodeName: string;
  readonly runtimeClass: string;
  /** The extended resource that counts pod VMs. */
  readonly resource: string;
  /** Negative: not advertised. */
  readonly limit: number;
}

interface RuntimeClass extends ApiObject {
  readonly handler: string;
}

const RUNTIME_CLASSES: Resource<RuntimeClass> = {
  group: "node.k8s.io",
  version: "v1",
  kind: "RuntimeClass",
  plural: "runtimeclasses",
  namespaced: false,
  schema: v.looseObject({ metadata: METADATA, handler: v.string() }),
};

interface SelfSubjectReview extends ApiObject {
  readonly status: { readonly userInfo: { readonly username: string } };
}

/** Anybody may ask who they are; the answer is stamped with the API server's time. It is stored nowhere and has no name. */
const SELF_SUBJECT_REVIEWS: Resource<SelfSubjectReview> = {
  group: "authentication.k8s.io",
  version: "v1",
  kind: "SelfSubjectReview",
  plural: "selfsubjectreviews",
  namespaced: false,
  schema: v.pipe(
    v.object({
      metadata: v.object({ creationTimestamp: v.string() }),
      status: v.object({ userInfo: v.object({ username: v.string() }) }),
    }),
    v.transform(({ metadata, status }) => ({
      metadata: { name: "", uid: "", resourceVersion: "", creationTimestamp: metadata.creationTimestamp },
      status,
    })),
  ),
};

/** What clocks may differ by: certificates are valid from five minutes before they are made. */
const MOST_SKEW_MS = 60_000;

/** API server, clock, runtime class, and the node's resource. */
export function clusterChecks(questions: ClusterQuestions): readonly Check[] {
  return [
    (signal) => apiServer(questions, signal),
    (signal) => runtimeClass(questions, signal),
    (signal) => nodeResource(questions, signal),
  ];
}

async function apiServer(
  { client, clock }: ClusterQuestions,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  try {
    const beforeMs = clock.wallMs();
    const review = await client.create(SELF_SUBJECT_REVIEWS, { metadata: {} }, signal);
    const atMs = Date.parse(review.metadata.creationTimestamp ?? "");
    // It has whole seconds, and was stamped between our question and its answer.
    const skewMs = Math.max(0, beforeMs - atMs - 1000, atMs - clock.wallMs());
    const { username } = review.status.userInfo;
    return [
      ok("API server", `answers, and knows us as ${username}`),
      skewMs <= MOST_SKEW_MS
        ? ok("clock", "agrees with the API server's")
        : failure(
            "clock",
            `differs from the API server's by ${Math.round(skewMs / 1000)} s`,
            "synchronise the node's clock (chrony, systemd-timesyncd): certificates and cloud tokens depend on it",
          ),
    ];
  } catch (error) {
    return [
      failure(
        "API server",
        describeError(error),
        "check the service account, or PEERPODS_KUBECONFIG, and the network to the API server; running pods do not need it",
      ),
    ];
  }
}

async function runtimeClass(questions: ClusterQuestions, signal: AbortSignal): Promise<readonly Finding[]> {
  const { client, runtimeClass: name } = questions;
  const check = "runtime class";
  try {
    const found = await client.find(RUNTIME_CLASSES, { name }, signal);
    if (found !== undefined) return [ok(check, `${name} has handler ${found.handler}`)];
    return [
      failure(
        check,
        `there is no RuntimeClass ${name}`,
        "let the chart or kata-deploy make it, or set RUNTIMECLASS_NAME",
      ),
    ];
  } catch (error) {
    if (isCaaError(error, "unauthorised"))
      return [info(check, "we may not read runtime classes; `kubectl get runtimeclass` tells")];
    throw error;
  }
}

async function nodeResource(questions: ClusterQuestions, signal: AbortSignal): Promise<readonly Finding[]> {
  const { client, nodeName, resource, limit } = questions;
  const check = "node resource";
  if (nodeName === "") return [info(check, "NODE_NAME is not set: it is not known which node this is")];
  const fix = "start the adaptor, which advertises it; see docs/limits.md";
  return await guarded(check, fix, async () => {
    const node = await client.find(NODES, { name: nodeName }, signal);
    if (node === undefined)
      return [
        failure(check, `the cluster has no node ${nodeName}`, "set NODE_NAME to the Node object's name"),
      ];
    const advertised = node.status?.capacity?.[resource];
    if (limit < 0)
      return [info(check, "a negative limit is not advertised: the scheduler counts no pod VMs")];
    if (advertised === undefined)
      return [warning(check, `node ${nodeName} has no ${resource}: no peer pod is scheduled there`, fix)];
    if (advertised === String(limit)) return [ok(check, `node ${nodeName} has ${advertised} ${resource}`)];
    return [warning(check, `node ${nodeName} has ${advertised} ${resource}, and the limit is ${limit}`, fix)];
  });
}
