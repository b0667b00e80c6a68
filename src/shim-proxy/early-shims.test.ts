import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { StartVMRequest, StartVMResponse } from "../gen/hypervisor/hypervisor.ts";
import { silentLog, systemClock } from "../platform/index.ts";
import { type ListeningProxy, listenForShims, runShimProxy } from "./server.ts";
import { connectShim, eventually, FakeOwner, Opened, RawShim } from "./test-peers.ts";

const HYPERVISOR = "hypervisor.Hypervisor";
const startVm = (id: string): Uint8Array => StartVMRequest.encode(StartVMRequest.create({ id })).finish();
const deps = { clock: systemClock, log: silentLog };

let opened: Opened;
let dir = "";
let hypervisorSocket = "";
let listening: ListeningProxy;

beforeEach(async () => {
  opened = new Opened();
  dir = opened.add(mkdtempSync(join(tmpdir(), "early-")), (path) => rmSync(path, { recursive: true }));
  hypervisorSocket = join(dir, "hypervisor.sock");
  listening = await listenForShims({ runDir: dir, hypervisorSocket });
});
afterEach(() => opened.closeAll());

test("a call that was made before anybody could serve it is answered", async () => {
  const shim = await connectShim(opened, hypervisorSocket);
  const answer = shim.call(HYPERVISOR, "StartVM", startVm("s1"));
  opened.add(await listening.serve(deps), (proxy) => proxy.close());
  const owner = await FakeOwner.attach(opened, dir, { epoch: 1 });
  (await owner.next("StartVM")).answer(StartVMResponse.encode(StartVMResponse.create({})).finish());
  expect(await answer).toEqual(new Uint8Array(0));
});

test("a shim that left meanwhile costs nothing, and those around it are served", async () => {
  const gone = await RawShim.connect(opened, hypervisorSocket);
  gone.ask(HYPERVISOR, "StartVM", startVm("s1"));
  gone.close();
  const stays = await RawShim.connect(opened, hypervisorSocket);
  stays.ask(HYPERVISOR, "StartVM", startVm("s2"));
  opened.add(await listening.serve(deps), (proxy) => proxy.close());
  const owner = await FakeOwner.attach(opened, dir, { epoch: 1 });
  await owner.next("StartVM");
  await eventually(() =>
    expect(owner.asked.map(({ payload }) => StartVMRequest.decode(payload).id)).toContain("s2"),
  );
});

test("a second shim-proxy takes neither lock nor socket", async () => {
  await expect(listenForShims({ runDir: dir, hypervisorSocket })).rejects.toMatchObject({
    kind: "wrong-state",
  });
  const shim = await RawShim.connect(opened, hypervisorSocket);
  opened.add(await listening.serve(deps), (proxy) => proxy.close());
  expect(shim.closed).toBe(false);
});

test("when it cannot serve, shims are let go and the next one may start", async () => {
  listening = await listenForShims({
    runDir: join(dir, "other"),
    hypervisorSocket: join(dir, "other.sock"),
    proxySocket: join(dir, "nowhere", "proxy.sock"),
  });
  const shim = await RawShim.connect(opened, join(dir, "other.sock"));
  await expect(listening.serve(deps)).rejects.toMatchObject({ kind: "unavailable" });
  await eventually(() => expect(shim.closed).toBe(true));
  expect(existsSync(join(dir, "other.sock"))).toBe(false);
  const next = { runDir: join(dir, "other"), hypervisorSocket: join(dir, "other.sock") };
  opened.add(await runShimProxy(next, deps), (proxy) => proxy.close());
});
