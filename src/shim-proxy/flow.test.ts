import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CopyFileRequest } from "../gen/agent/agent.ts";
import { decodeResponse } from "../ttrpc/index.ts";
import { AGENT, type Bench, check, eventually, linkedPod, RawShim, startBench } from "./test-peers.ts";

const MIB = 1024 * 1024;
/** Far more than what kernel buffers and the proxy's own bounds add up to. */
const BOUND_BYTES = 24 * MIB;

let bench: Bench;
beforeEach(async () => {
  bench = await startBench();
});
afterEach(() => bench.opened.closeAll());

const piece = CopyFileRequest.encode(
  CopyFileRequest.create({ path: "/run/kata-containers/shared/containers/f", data: Buffer.alloc(MIB, 7) }),
).finish();

describe("back-pressure", () => {
  test("a slow VM slows the shim down: what it has not taken stays with the shim", async () => {
    const { vm, agentSocket } = await linkedPod(bench);
    const shim = await RawShim.connect(bench.opened, agentSocket);
    vm.handlers.set("CopyFile", (asked) => {
      asked.answer();
      // 200 payloads would be held by this test otherwise.
      vm.asked.length = 0;
    });
    vm.hold();
    for (let index = 0; index < 100; index++) shim.ask(AGENT, "CopyFile", piece);
    await bench.clock.jump(300);
    expect(shim.queuedBytes).toBeGreaterThan(100 * MIB - BOUND_BYTES);
    vm.read();
    await eventually(() => expect(shim.answers.length).toBe(100));
    expect(shim.queuedBytes).toBe(0);
  });

  test("a slow shim slows the VM down, and is not taken for a dead link", async () => {
    const { owner, vm, agentSocket } = await linkedPod(bench);
    const shim = await RawShim.connect(bench.opened, agentSocket);
    const output = Buffer.alloc(MIB, 1);
    vm.handlers.set("ReadStdout", (asked) => asked.answer(output));
    shim.ask("grpc.Health", "Check");
    await eventually(() => expect(shim.answers.length).toBe(1));
    shim.hold();
    for (let index = 0; index < 100; index++) shim.ask(AGENT, "ReadStdout");
    await eventually(() => expect(vm.calls.length).toBe(100));
    await bench.clock.jump(60_000);
    const [connection] = [...vm.connections].filter((one) => one.queuedBytes > 0);
    expect(connection?.queuedBytes).toBeGreaterThan(100 * MIB - BOUND_BYTES);
    expect(owner.events.filter((event) => event.kind === "link" && event.state === "down")).toEqual([]);
    shim.read();
    await eventually(() => expect(shim.answers.length).toBe(101));
  });

  test("while the link is down a shim that goes on sending is not read from beyond a bound", async () => {
    const { vm, shim: first, agentSocket } = await linkedPod(bench);
    await check(first);
    const shim = await RawShim.connect(bench.opened, agentSocket);
    shim.ask("grpc.Health", "Check");
    await eventually(() => expect(shim.answers.length).toBe(1));
    vm.listening = false;
    vm.cut();
    await bench.clock.jump(50);
    for (let index = 0; index < 60; index++) shim.ask(AGENT, "CopyFile", piece);
    await bench.clock.jump(100);
    expect(shim.queuedBytes).toBeGreaterThan(60 * MIB - BOUND_BYTES);
    // Each waits its 2 s, then the next come.
    for (let turn = 0; turn < 12; turn++) await bench.clock.jump(2100);
    await eventually(() => expect(shim.answers.length).toBe(61));
    const codes = shim.answers.slice(1).map((answer) => decodeResponse(answer.data).status?.code);
    expect(new Set(codes)).toEqual(new Set([14]));
  });
});

describe("bounds", () => {
  test("a connection with too many unanswered calls gets 8 for the next", async () => {
    const small = await startBench({ limits: { maxCallsPerConnection: 3 } });
    try {
      const { agentSocket } = await linkedPod(small);
      const shim = await RawShim.connect(small.opened, agentSocket);
      for (let index = 0; index < 4; index++) shim.ask(AGENT, "WaitProcess");
      await eventually(() => expect(shim.answers.length).toBe(1));
      expect(shim.answers[0]?.streamId).toBe(7);
      expect(decodeResponse(shim.answers[0]?.data ?? Buffer.alloc(0)).status?.code).toBe(8);
    } finally {
      await small.opened.closeAll();
    }
  });

  test("32 Checks in flight at a time, 20,000 of them over five cuts, meet no error", async () => {
    const { vm, shim } = await linkedPod(bench);
    await check(shim);
    let done = 0;
    const worker = async (): Promise<void> => {
      while (done < 20_000) {
        expect(await check(shim)).toBe(1);
        done++;
        if (done % 4000 === 0) vm.cut();
        vm.asked.length = 0;
      }
    };
    await Promise.all(Array.from({ length: 32 }, worker));
  });
});
