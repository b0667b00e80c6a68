import { expect, test } from "vitest";
import { FakeClock } from "../../test/fakes/fake-clock.ts";
import type { LifecycleNotice, PodRef } from "../sandbox/index.ts";
import { History } from "./history.ts";

const podOf = (sandboxId: string): PodRef => ({
  sandboxId,
  podNamespace: "default",
  podName: `pod-${sandboxId}`,
  podUid: undefined,
});
const waits = (id: string, text: string): LifecycleNotice => ({
  kind: "progress",
  pod: podOf(id),
  vmName: `vm-${id}`,
  text,
});

test("what a sandbox waits for is remembered from the first time that it was said", async () => {
  const clock = new FakeClock();
  const history = new History(clock);
  const beganMs = clock.wallMs();
  history.note(waits("s1", "waiting for the VM's address"));
  await clock.advance(41_000);
  history.note(waits("s1", "waiting for the VM's address"));
  expect(history.waitingSinceMs("s1", "waiting for the VM's address")).toBe(beganMs);
  expect(history.of("s1")?.timeline).toHaveLength(1);
  expect(history.waitingSinceMs("s1", "something else")).toBeUndefined();
});

test("steps, breaks, losses and the cloud's errors are told in order", () => {
  const history = new History(new FakeClock());
  const failed: LifecycleNotice = {
    kind: "failed",
    step: "vm.create",
    pod: podOf("s1"),
    vmName: "vm-s1",
    durationMs: 12,
    error: { kind: "capacity", message: "no room in zone 1" },
  };
  history.note({ kind: "done", step: "create", pod: podOf("s1"), vmName: "", durationMs: 5 });
  history.note(failed);
  history.note({ kind: "link", sandboxId: "s1", state: "down", reason: "silence", breaks: 1 });
  history.note({ kind: "loss", sandboxId: "s1", loss: "exit-code", detail: "of process 7" });
  history.note({ kind: "orphan", vmName: "vm-x", sandboxId: "s9", action: "deleted" });
  const known = history.of("s1");
  expect(known?.timeline.map(({ what, step, text }) => [what, step, text])).toEqual([
    ["done", "create", ""],
    ["failed", "vm.create", "capacity: no room in zone 1"],
    ["link", "link", "down: silence (broken 1 times so far)"],
    ["loss", "exit-code", "of process 7"],
  ]);
  expect(known).toMatchObject({ vmName: "vm-s1", losses: 1, pod: podOf("s1") });
  expect(known?.cloudErrors).toMatchObject([
    { step: "vm.create", kind: "capacity", text: "no room in zone 1" },
  ]);
  expect(history.of("s9")).toBeUndefined();
});

test("memory is bounded: per sandbox, and by forgetting those of which nothing was heard for longest", () => {
  const history = new History(new FakeClock());
  history.note(waits("kept", "first"));
  for (let n = 0; n < 299; n++) history.note(waits(`s${n}`, "x"));
  for (let n = 0; n < 150; n++) history.note(waits("kept", `step ${n}`));
  history.note(waits("one-more", "x"));
  expect(history.all().size).toBe(300);
  expect(history.of("s0")).toBeUndefined();
  const timeline = history.of("kept")?.timeline ?? [];
  expect([timeline.length, timeline.at(-1)?.text]).toEqual([100, "step 149"]);
});
