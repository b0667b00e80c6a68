import { afterEach, beforeEach, expect, test } from "vitest";
import { WaitProcessRequest } from "../gen/agent/agent.ts";
import { AGENT, type Bench, check, eventually, FakeOwner, linkedPod, startBench } from "./test-peers.ts";

let bench: Bench;
beforeEach(async () => {
  bench = await startBench();
});
afterEach(() => bench.opened.closeAll());

const wait = WaitProcessRequest.encode(WaitProcessRequest.create({ containerId: "c" })).finish();

test.each([{ plain: true }, { plain: false }])(
  "what is held now and what went over the link is counted (%o)",
  async (kind) => {
    const { owner, vm, shim } = await linkedPod(bench, "s1", kind);
    await check(shim);
    const before = await owner.client.stats();
    expect(before).toMatchObject({
      agentConnections: 1,
      pendingCalls: { hypervisor: 0, agent: 0 },
      owedStops: 0,
      sandboxesByLink: { none: 0, dialing: 0, up: 1, down: 0, lost: 0 },
      dials: 1,
      dialsFailed: 0,
    });
    const waiting = shim.call(AGENT, "WaitProcess", wait);
    const asked = await vm.next("WaitProcess");
    expect((await owner.client.stats())?.pendingCalls.agent).toBe(1);
    asked.answer(Buffer.alloc(100_000));
    await waiting;
    const after = await owner.client.stats();
    expect(after?.pendingCalls.agent).toBe(0);
    expect((after?.bytes.fromVms ?? 0) - (before?.bytes.fromVms ?? 0)).toBeGreaterThanOrEqual(100_000);
    expect((after?.bytes.toVms ?? 0) - (before?.bytes.toVms ?? 0)).toBeGreaterThan(wait.length);
    expect(after?.residentBytes).toBeGreaterThan(0);
  },
);

test("breaks, what they cost and what came back is counted, and outlives the owner", async () => {
  const { owner, vm, shim } = await linkedPod(bench);
  await check(shim);
  const call = shim.call(AGENT, "ExecProcess", new Uint8Array(0));
  await vm.next("ExecProcess");
  const bytes = (await owner.client.stats())?.bytes.toVms ?? 0;
  vm.cut();
  await expect(call).rejects.toThrow();
  await eventually(() => expect(owner.events.at(-1)).toMatchObject({ kind: "link", state: "up" }));
  owner.die();
  const next = await FakeOwner.attach(bench.opened, bench.dir, { epoch: 2 });
  const stats = await next.client.stats();
  expect(stats?.links).toEqual({ broken: 1, healed: 1, givenUp: 0 });
  expect([...(stats?.losses ?? [])]).toEqual([["call", 1]]);
  expect(stats?.bytes.toVms).toBeGreaterThanOrEqual(bytes);
});

test("a shim that leaves takes its calls out of the count; a sandbox without a VM is told apart", async () => {
  const { owner, shim } = await linkedPod(bench);
  await check(shim);
  const call = shim.call(AGENT, "WaitProcess", wait);
  await eventually(async () => expect((await owner.client.stats())?.pendingCalls.agent).toBe(1));
  shim.close();
  await expect(call).rejects.toThrow();
  await eventually(async () => expect((await owner.client.stats())?.agentConnections).toBe(0));
  expect((await owner.client.stats())?.pendingCalls.agent).toBe(0);
  await owner.client.putSandbox("s2", bench.sandboxDir("s2"));
  expect((await owner.client.stats())?.sandboxesByLink).toMatchObject({ none: 1, up: 1 });
});
