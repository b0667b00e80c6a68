import { readdirSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { issueVmIdentity } from "../tls/index.ts";
import { encodeFrame } from "../ttrpc/index.ts";
import {
  AGENT,
  type Bench,
  check,
  connectShim,
  eventually,
  FakeOwner,
  FakeVm,
  linkedPod,
  startBench,
} from "./test-peers.ts";

let bench: Bench;
beforeEach(async () => {
  bench = await startBench();
});
afterEach(() => bench.opened.closeAll());

const RUNS = { numRuns: 60, seed: 20_261_123 };

/** Plain noise, or well-formed frames with noise inside: the second gets further. */
const noise: fc.Arbitrary<Buffer> = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  fc
    .record({
      streamId: fc.oneof(fc.nat(20), fc.nat(0xffff_ffff)),
      type: fc.oneof(fc.constantFrom(1, 2, 3), fc.nat(255)),
      flags: fc.oneof(fc.constant(0), fc.nat(255)),
      data: fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
    })
    .map((frame) => encodeFrame(frame)),
);
const noises: fc.Arbitrary<Buffer[]> = fc.array(noise, { maxLength: 20 });

async function shout(path: string, chunks: readonly Buffer[]): Promise<void> {
  await new Promise<void>((resolve) => {
    const socket = net.connect(path);
    socket.on("error", () => undefined).on("close", () => resolve());
    socket.resume();
    for (const chunk of chunks) socket.write(chunk);
    socket.end();
  });
}

test("noise from shims, on either socket, costs nobody else anything", async () => {
  const { owner, shim, agentSocket } = await linkedPod(bench);
  owner.handlers.set("Version", (asked) => asked.answer());
  await check(shim);
  await fc.assert(
    fc.asyncProperty(noises, async (chunks) => {
      await Promise.all([shout(agentSocket, chunks), shout(bench.hypervisorSocket, chunks)]);
    }),
    RUNS,
  );
  expect(await check(shim)).toBe(1);
  const other = await connectShim(bench.opened, bench.hypervisorSocket);
  await other.call("hypervisor.Hypervisor", "Version", new Uint8Array(0));
});

test("noise from a VM is dropped or ends its connection, which heals", async () => {
  const { vm, shim } = await linkedPod(bench, "s1", { plain: true });
  await check(shim);
  const waiting = shim.call(AGENT, "WaitProcess", new Uint8Array(0));
  waiting.catch(() => undefined);
  await vm.next("WaitProcess");
  await fc.assert(
    fc.asyncProperty(noises, async (chunks) => {
      await eventually(() => expect(vm.connections.size).toBeGreaterThan(0));
      for (const stream of vm.streams) for (const chunk of chunks) stream.write(chunk);
      vm.cut();
    }),
    { ...RUNS, numRuns: 20 },
  );
  await bench.clock.jump(1000);
  expect(await check(shim)).toBe(1);
});

test("dials that fail leave no descriptors behind", async () => {
  const owner = await FakeOwner.attach(bench.opened, bench.dir);
  const vm = await FakeVm.start(bench.opened);
  const stranger = await issueVmIdentity({ serverName: "podvm-x", nowMs: Date.now() });
  const target = vm.target("s1");
  if (target.tls === undefined) throw new Error("no TLS");
  await owner.client.putSandbox("s1", bench.sandboxDir("s1"));
  const wrong = { ...target, tls: { ...target.tls, caPem: stranger.caPem } };
  const descriptors = (): number => readdirSync("/proc/self/fd").length;
  await expect(owner.client.putLink(wrong)).rejects.toMatchObject({ kind: "unauthorised" });
  const before = descriptors();
  for (let turn = 0; turn < 30; turn++)
    await expect(owner.client.putLink(wrong)).rejects.toMatchObject({ kind: "unauthorised" });
  await eventually(() => expect(descriptors()).toBeLessThanOrEqual(before + 4));
});

test("a closed sandbox leaves no descriptors behind", async () => {
  const owner = await FakeOwner.attach(bench.opened, bench.dir);
  const vm = await FakeVm.start(bench.opened);
  const descriptors = (): number => readdirSync("/proc/self/fd").length;
  const before = descriptors();
  for (let turn = 0; turn < 10; turn++) {
    const id = `s${turn}`;
    const dir = bench.sandboxDir(id);
    await owner.client.putSandbox(id, dir);
    await owner.client.putLink(vm.target(id));
    const shim = await connectShim(bench.opened, join(dir, "agent.ttrpc"));
    await check(shim);
    await owner.client.closeSandbox(id);
    await shim.closed;
  }
  await eventually(() => expect(descriptors()).toBeLessThanOrEqual(before + 2));
});
