import { expect, test } from "vitest";
import { FakeSandboxes } from "../../test/fakes/fake-sandboxes.ts";
import { capacityExhausted } from "../errors/index.ts";
import { History } from "./history.ts";
import { findSandbox, inspectSandbox } from "./inspect.ts";
import { type OwnedNode, reportPod } from "./pod-report.ts";

const never = new AbortController().signal;

function watched(): {
  readonly node: FakeSandboxes;
  readonly history: History;
  readonly owned: () => OwnedNode;
} {
  const node = new FakeSandboxes();
  const history = new History(node.clock);
  node.onNotice = history.note;
  const control = { link: () => undefined, progress: (id: string) => node.manager.progress(id) };
  const owned = (): OwnedNode => ({
    sandboxes: node.journal.sandboxes(),
    vms: node.journal.vms(),
    control,
    history,
  });
  return { node, history, owned };
}

test("a pod is found by namespace and name, name, id, the beginning of its id, and its VM's name", async () => {
  const { node, owned } = watched();
  using _ = node;
  await node.manager.create(node.request("abcdef0123456789", "web"), never);
  await node.manager.create(node.request("b1", "db"), never);
  for (const key of ["default/web", "web", "abcdef0123456789", "abcdef", "podvm-web-abcdef01"])
    expect(findSandbox(owned(), key).name).toBe("web");
  expect(() => findSandbox(owned(), "abc")).toThrow(/knows no pod.*status/);
});

test("a name that means pods of two namespaces is refused with both", async () => {
  const { node, owned } = watched();
  using _ = node;
  await node.manager.create(node.request("s1", "web"), never);
  await node.manager.create({ ...node.request("s2", "web"), podNamespace: "other" }, never);
  expect(() => findSandbox(owned(), "web")).toThrow(/default\/web or other\/web/);
  expect(findSandbox(owned(), "other/web").sandboxId).toBe("s2");
});

test("everything known of a running pod is told but its keys", async () => {
  const { node, owned } = watched();
  using _ = node;
  await node.manager.create(node.request("s1"), never);
  await node.manager.start("s1", never);
  const report = inspectSandbox(owned(), findSandbox(owned(), "s1"), node.clock.wallMs());
  expect(report.pod).toMatchObject({ phase: "running", doing: null, lastError: null });
  expect(report.timeline.map(({ what, step }) => `${what} ${step}`)).toEqual([
    "done create",
    "done vm.create",
    "done tunnel.set-up",
    "waiting ",
    "done link",
    "done start",
  ]);
  const text = JSON.stringify(report);
  for (const secret of ["server-key", "client-key"]) expect(text).not.toContain(secret);
  expect(report.record).toMatchObject({ netns: "/run/netns/s1", serverName: "podvm-pod-s1-s1" });
});

test("a start that failed shows the cloud's error, and a pod that is gone what happened to it", async () => {
  const { node, owned } = watched();
  using _ = node;
  await node.manager.create(node.request("s1"), never);
  node.cloud.failNext("create", capacityExhausted("no room in zone 1"));
  await expect(node.manager.start("s1", never)).rejects.toThrow();
  const [record] = node.journal.sandboxes();
  if (record === undefined) throw new Error("the sandbox left the journal");
  expect(reportPod(owned(), record)).toMatchObject({
    phase: "failed",
    lastError: { kind: "capacity", text: "no room in zone 1" },
  });
  await node.manager.stop("s1", never);
  const gone = inspectSandbox(owned(), findSandbox(owned(), "default/pod-s1"), node.clock.wallMs());
  expect([gone.pod, gone.record]).toEqual([null, null]);
  expect(gone.cloudErrors).toMatchObject([{ step: "vm.create", text: "no room in zone 1" }]);
});

test("of two sandboxes of one pod the living one is meant, and the other is named", async () => {
  const { node, owned } = watched();
  using _ = node;
  await node.manager.create(node.request("s1", "web"), never);
  await node.manager.stop("s1", never);
  await node.manager.create(node.request("s2", "web"), never);
  const report = inspectSandbox(owned(), findSandbox(owned(), "default/web"), 0);
  expect([report.sandboxId, report.otherSandboxes]).toEqual(["s2", ["s1"]]);
});
