import { isCaaError, unsupported } from "../../errors/index.ts";
import { annotationsFor } from "./annotate.ts";
import { mergedDemand, readOriginal } from "./original.ts";
import { type PatchOperation, patchMap } from "./patch.ts";
import { containersOf, type Pod, parsePod, runtimeClassOf } from "./pod.ts";
import type { WebhookPolicy } from "./policy.ts";
import { deviceWarnings, stripResources } from "./strip.ts";
import { annotationProblems } from "./user-annotations.ts";

/** What becomes of one pod. */
export type Verdict =
  | {
      readonly allowed: true;
      readonly operations: readonly PatchOperation[];
      /** For the user who makes the pod; it is made all the same. */
      readonly warnings: readonly string[];
      /** What the webhook says of the VM, for its log: `default_vcpus`, `machine_type`, ... */
      readonly sizes: Readonly<Record<string, string>>;
    }
  | {
      readonly allowed: false;
      /** As HTTP: 400 the object makes no sense, 403 it cannot work. */
      readonly code: 400 | 403;
      readonly message: string;
    };

/** For what is none of our business. */
export const UNTOUCHED: Verdict = { allowed: true, operations: [], warnings: [], sizes: {} };

/**
 * Turns a pod of our runtime class into one whose resources are its VM's, or says why it cannot work. Any other pod, whatever it
 * holds, is allowed as it is. Pure: the same pod and policy give the same verdict, and a pod that went through it once
 * needs no change.
 */
export function mutatePod(object: unknown, policy: WebhookPolicy): Verdict {
  if (runtimeClassOf(object) !== policy.runtimeClass) return UNTOUCHED;
  try {
    const pod = parsePod(object);
    const containers = containersOf(pod);
    // The API server refuses it by itself, with a better text.
    if (!containers.some((one) => one.kind === "regular")) return UNTOUCHED;
    refuseHostNamespaces(pod);
    return change(pod, policy);
  } catch (error) {
    if (!isCaaError(error, "invalid-request", "unsupported")) throw error;
    return { allowed: false, code: error.kind === "unsupported" ? 403 : 400, message: error.message };
  }
}

/** The pod's containers are in a VM on another machine: none of the worker's namespaces can be shared with it. */
function refuseHostNamespaces(pod: Pod): void {
  const shared = (["hostNetwork", "hostPID", "hostIPC"] as const).filter(
    (field) => pod.spec?.[field] === true,
  );
  if (shared.length === 0) return;
  throw unsupported(
    `spec.${shared.join(" and spec.")} cannot be true with runtime class ${pod.spec?.runtimeClassName}: the pod runs in a virtual machine of its own, apart from its node; remove it, or choose another runtime class`,
  );
}

function change(pod: Pod, policy: WebhookPolicy): Verdict {
  const containers = containersOf(pod);
  const present = pod.metadata?.annotations ?? {};
  const kept = readOriginal(present);
  const devices = deviceWarnings(containers, policy);
  const demand = mergedDemand(pod, kept, policy);
  const annotations = annotationsFor(pod, demand, { kept, policy });
  const problems =
    policy.badAnnotations === "ignore" ? [] : annotationProblems({ ...present, ...annotations.set }, policy);
  const [problem] = problems;
  if (policy.badAnnotations === "deny" && problem !== undefined) throw unsupported(problem);
  return {
    allowed: true,
    operations: [...annotationOperations(pod, annotations), ...stripResources(pod, containers, policy)],
    warnings: [...devices, ...problems],
    sizes: Object.fromEntries(
      Object.entries(annotations.written).map(([key, value]) => [key.slice(key.lastIndexOf(".") + 1), value]),
    ),
  };
}

function annotationOperations(
  pod: Pod,
  { set, remove }: { readonly set: Readonly<Record<string, string>>; readonly remove: readonly string[] },
): readonly PatchOperation[] {
  if (pod.metadata !== undefined && pod.metadata !== null) {
    return patchMap("/metadata/annotations", pod.metadata.annotations, set, remove);
  }
  return Object.keys(set).length === 0 ? [] : [{ op: "add", path: "/metadata", value: { annotations: set } }];
}
