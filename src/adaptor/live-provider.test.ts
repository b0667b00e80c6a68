import { expect, test } from "vitest";
import type { CreateOptions, Provider, VmRequest } from "../../providers/contract.ts";
import { FakeProvider } from "../../test/fakes/fake-provider.ts";
import { unavailable } from "../errors/index.ts";
import { Secret, silentLog } from "../platform/index.ts";
import { LiveProvider } from "./live-provider.ts";

const never = new AbortController().signal;
const options: CreateOptions = { signal: never, onId: () => undefined, onProgress: () => undefined };

const request = (name: string): VmRequest => ({
  name,
  tags: {},
  userData: new Secret(""),
  size: { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 },
  image: "",
  dedicatedTunnelInterface: false,
  externalNetworkInterface: false,
  volumes: [],
});

/** Two providers with other settings over clouds of their own, so that it shows who was asked. */
function setUp() {
  const closed: string[] = [];
  const named = (name: string): FakeProvider => {
    const fake = new FakeProvider();
    fake.close = async () => {
      closed.push(name);
    };
    return fake;
  };
  const before = named("before");
  const after = named("after");
  return { before, after, closed, live: new LiveProvider(before, silentLog) };
}

test("a create that is under way ends where it began; the next one uses the new settings", async () => {
  const { before, after, closed, live } = setUp();
  const release = before.hold("create-before");
  const running = live.provider.create(request("vm-1"), options);
  live.replace(after);
  await live.provider.create(request("vm-2"), options);
  expect([[...before.vms.keys()], [...after.vms.keys()], closed]).toEqual([[], ["vm-2"], []]);
  release();
  await running;
  expect([...before.vms.keys()]).toEqual(["vm-1"]);
  expect(closed).toEqual(["before"]);
});

test("reads and deletes go to the newest, and an idle one is closed at once", async () => {
  const { before, after, closed, live } = setUp();
  live.replace(after);
  expect(closed).toEqual(["before"]);
  await live.provider.get({ name: "vm-1" }, never);
  await live.provider.delete({ name: "vm-1" }, never);
  expect(before.calls).toEqual([]);
  expect(after.calls).toEqual(["get vm-1", "delete vm-1"]);
});

test("a VM whose create failed is deleted by the one who tried it, which is kept until then", async () => {
  const { before, after, closed, live } = setUp();
  before.failNext("create", unavailable("no answer"));
  await expect(live.provider.create(request("vm-1"), options)).rejects.toThrow("no answer");
  live.replace(after);
  before.failNext("delete", unavailable("not now"));
  await expect(live.provider.delete({ name: "vm-1" }, never)).rejects.toThrow("not now");
  expect(closed).toEqual([]);
  await live.provider.delete({ name: "vm-1" }, never);
  expect(before.calls).toEqual(["create vm-1", "delete vm-1", "delete vm-1"]);
  expect([after.calls, closed]).toEqual([[], ["before"]]);
});

test("closing closes all that is left", async () => {
  const { before, after, closed, live } = setUp();
  before.hold("create-before");
  live.provider.create(request("vm-1"), options).catch(() => undefined);
  live.replace(after);
  await live.close();
  expect(closed.toSorted()).toEqual(["after", "before"]);
});

test("what a provider cannot do stays missing", () => {
  const { live } = setUp();
  const lacking: Pick<Provider, "console" | "quota"> = live.provider;
  expect(["console" in lacking, "quota" in lacking]).toEqual([false, false]);
  expect(live.provider.limits).toEqual({ userDataBytes: 64 * 1024 });
});
