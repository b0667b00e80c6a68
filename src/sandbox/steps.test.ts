import { describe, expect, test } from "vitest";
import { settle } from "../../test/fakes/fake-clock.ts";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";
import { capacityExhausted, unavailable } from "../errors/index.ts";
import type { LifecycleNotice } from "./notices.ts";

const never = new AbortController().signal;

const short = (notices: readonly LifecycleNotice[]): string[] =>
  notices.flatMap((notice) =>
    notice.kind === "done" || notice.kind === "failed" ? [`${notice.kind} ${notice.step}`] : [],
  );

describe("what is told of a pod's life", () => {
  test("each step, when it is done, parts before the whole", async () => {
    using node = new FakeSandboxes();
    await node.manager.create(node.request("s1"), never);
    await node.manager.start("s1", never);
    await node.manager.stop("s1", never);
    const told = short(node.notices);
    expect(told.slice(0, 5)).toEqual([
      "done create",
      "done vm.create",
      "done tunnel.set-up",
      "done link",
      "done start",
    ]);
    expect(told.slice(5, -1).toSorted()).toEqual(["done tunnel.remove", "done vm.delete"]);
    expect(told.at(-1)).toBe("done stop");
    expect(
      node.notices.find((notice) => notice.kind === "done" && notice.step === "vm.delete"),
    ).toMatchObject({
      pod: { sandboxId: "s1", podName: "pod-s1" },
      vmName: "podvm-pod-s1-s1",
    });
  });

  test("a failure with its kind and its text, for the part and for the call", async () => {
    using node = new FakeSandboxes();
    await node.manager.create(node.request("s1"), never);
    node.cloud.failNext("create", capacityExhausted("no VM of that size in zone 1"));
    await expect(node.manager.start("s1", never)).rejects.toThrow(/zone 1/);
    const failed = node.notices.filter((notice) => notice.kind === "failed");
    expect(failed.map(({ step, error }) => [step, error.kind])).toEqual([
      ["vm.create", "capacity"],
      ["start", "capacity"],
    ]);
  });

  test("nothing of a step that the end of this control plane has cut", async () => {
    using node = new FakeSandboxes();
    await node.manager.create(node.request("s1"), never);
    const release = node.cloud.hold("create-before");
    const started = node.manager.start("s1", never).catch((error: unknown) => error);
    await settle();
    const ended = node.manager.shutDown();
    release();
    await ended;
    expect(await started).toMatchObject({ kind: "unavailable" });
    expect(short(node.notices)).toEqual(["done create"]);
  });

  test("a listener that throws changes nothing", async () => {
    using node = new FakeSandboxes();
    node.onNotice = () => {
      throw unavailable("nobody listens");
    };
    await node.manager.create(node.request("s1"), never);
    await node.manager.start("s1", never);
    expect(node.journal.sandbox("s1")?.phase).toBe("running");
  });
});
