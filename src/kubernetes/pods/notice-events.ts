import type { ErrorKind } from "../../errors/index.ts";
import type { LifecycleNotice, PodRef } from "../../sandbox/index.ts";
import type { PodEvent } from "./pod-events.ts";

/** What failed, for machines. Kinds that are left out tell a user nothing: the call was given up, or came too late. */
const REASONS: Readonly<Partial<Record<ErrorKind, string>>> = {
  limit: "PeerPodLimitReached",
  quota: "PeerPodQuotaExceeded",
  capacity: "PeerPodCapacityExhausted",
  throttled: "PeerPodCloudThrottled",
  unauthorised: "PeerPodCloudUnauthorised",
  "invalid-initdata": "PeerPodInitdataInvalid",
  "too-large": "PeerPodUserDataTooLarge",
  "invalid-config": "PeerPodConfigInvalid",
  "invalid-request": "PeerPodRequestInvalid",
  unsupported: "PeerPodUnsupported",
  deadline: "PeerPodTimeout",
  network: "PeerPodNetworkFailed",
  gone: "PeerPodVMGone",
  "not-found": "PeerPodVMGone",
  unavailable: "PeerPodCloudUnavailable",
  journal: "PeerPodNodeFailed",
  internal: "PeerPodNodeFailed",
};

/** Providers have no kind of their own for this; their texts name the image. */
const ABOUT_IMAGE = /\bimage\b/i;

/** The Event that a notice is worth; undefined: none. `podOf` finds the pod of a sandbox where the notice has only its id. */
export function eventOf(
  notice: LifecycleNotice,
  podOf: (sandboxId: string) => PodRef | undefined,
): PodEvent | undefined {
  switch (notice.kind) {
    case "done":
      return notice.step === "start" && notice.pod !== undefined
        ? about(notice.pod, {
            type: "Normal",
            reason: "PeerPodVMStarted",
            action: "StartPodVM",
            note: `Pod VM ${notice.vmName} runs and is connected`,
          })
        : undefined;
    case "failed":
      return failure(notice);
    case "link":
      return notice.state === "lost"
        ? broken(notice.sandboxId, "PeerPodLinkLost", notice.reason, podOf)
        : undefined;
    case "loss":
      return broken(notice.sandboxId, "PeerPodCallLost", `${notice.loss}: ${notice.detail}`, podOf);
    case "abandoned":
      return undefined;
    default:
      return undefined;
  }
}

/** Whole calls only: what they are made of fails with them. */
function failure(notice: LifecycleNotice & { readonly kind: "failed" }): PodEvent | undefined {
  const { pod, step, error } = notice;
  if (pod === undefined || (step !== "create" && step !== "start")) return undefined;
  const reason = REASONS[error.kind];
  if (reason === undefined) return undefined;
  const isImage =
    (error.kind === "invalid-config" || error.kind === "invalid-request") && ABOUT_IMAGE.test(error.message);
  return about(pod, {
    type: "Warning",
    reason: isImage ? "PeerPodImageNotFound" : reason,
    action: step === "create" ? "CreatePodVM" : "StartPodVM",
    note: error.message,
  });
}

function broken(
  sandboxId: string,
  reason: string,
  note: string,
  podOf: (sandboxId: string) => PodRef | undefined,
): PodEvent | undefined {
  const pod = podOf(sandboxId);
  return pod && about(pod, { type: "Warning", reason, action: "KeepPodVMConnected", note });
}

const about = (pod: PodRef, event: Omit<PodEvent, "pod">): PodEvent => ({
  pod: { namespace: pod.podNamespace, name: pod.podName, uid: pod.podUid ?? "" },
  ...event,
});
