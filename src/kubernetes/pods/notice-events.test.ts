import { expect, test } from "vitest";
import type { ErrorKind } from "../../errors/index.ts";
import type { LifecycleNotice, LifecycleStep } from "../../sandbox/index.ts";
import { eventOf } from "./notice-events.ts";

const pod = { sandboxId: "s", podNamespace: "a", podName: "p", podUid: "u" };
const failed = (kind: ErrorKind, message: string, step: LifecycleStep = "start"): LifecycleNotice => ({
  kind: "failed",
  step,
  pod,
  vmName: "v",
  durationMs: 1,
  error: { kind, message },
});
const reasonOf = (notice: LifecycleNotice): string | undefined => eventOf(notice, () => pod)?.reason;

test.each<[ErrorKind, string, string | undefined]>([
  ["quota", "no cores left", "PeerPodQuotaExceeded"],
  ["limit", "this node may run 10", "PeerPodLimitReached"],
  ["invalid-initdata", "line 3", "PeerPodInitdataInvalid"],
  ["too-large", "70000 bytes", "PeerPodUserDataTooLarge"],
  ["invalid-config", "AZURE_SUBNET_ID does not exist", "PeerPodConfigInvalid"],
  ["invalid-config", "the image /x/y does not exist", "PeerPodImageNotFound"],
  ["invalid-request", "image x does not exist: correct the pod's annotation", "PeerPodImageNotFound"],
  ["unauthorised", "the client secret has expired", "PeerPodCloudUnauthorised"],
  ["cancelled", "the caller gave up", undefined],
  ["wrong-state", "StartVM after StopVM", undefined],
])("a start that failed as %s (%s) is %s", (kind, message, reason) => {
  expect(reasonOf(failed(kind, message))).toBe(reason);
});

test("the text is the error's own, about the pod's own UID", () => {
  expect(eventOf(failed("quota", "no cores left"), () => undefined)).toEqual({
    pod: { namespace: "a", name: "p", uid: "u" },
    type: "Warning",
    reason: "PeerPodQuotaExceeded",
    action: "StartPodVM",
    note: "no cores left",
  });
});

test("a failure is told once: by the call, not by the steps that it is made of", () => {
  expect(reasonOf(failed("quota", "x", "vm.create"))).toBeUndefined();
  expect(reasonOf(failed("quota", "x", "vm.delete"))).toBeUndefined();
  expect(reasonOf(failed("limit", "x", "create"))).toBe("PeerPodLimitReached");
});

test("a VM that runs is told, its parts are not", () => {
  const done = (step: LifecycleStep): LifecycleNotice => ({
    kind: "done",
    step,
    pod,
    vmName: "v",
    durationMs: 1,
  });
  expect(reasonOf(done("start"))).toBe("PeerPodVMStarted");
  expect(reasonOf(done("vm.create"))).toBeUndefined();
});

test("a link that is given up and a call that was lost are told on the sandbox's pod", () => {
  const link = (state: "up" | "lost"): LifecycleNotice => ({
    kind: "link",
    sandboxId: "s",
    state,
    reason: "silence",
    breaks: 1,
  });
  expect(reasonOf(link("lost"))).toBe("PeerPodLinkLost");
  expect(reasonOf(link("up"))).toBeUndefined();
  expect(eventOf(link("lost"), () => undefined)).toBeUndefined();
  expect(reasonOf({ kind: "loss", sandboxId: "s", loss: "exit-code", detail: "d" })).toBe("PeerPodCallLost");
});
