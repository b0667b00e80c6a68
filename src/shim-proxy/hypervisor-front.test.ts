import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  CreateVMRequest,
  CreateVMResponse,
  StartVMRequest,
  StopVMRequest,
} from "../gen/hypervisor/hypervisor.ts";
import { GetInfoRequest } from "../gen/hypervisor/podvminfo.ts";
import { decodeResponse, FrameFlag, FrameType, MAX_DATA_BYTES } from "../ttrpc/index.ts";
import { type Bench, connectShim, eventually, FakeOwner, RawShim, startBench } from "./test-peers.ts";

const HYPERVISOR = "hypervisor.Hypervisor";
const createVm = (id: string): Uint8Array =>
  CreateVMRequest.encode(CreateVMRequest.create({ id, networkNamespacePath: "/run/netns/x" })).finish();
const startVm = (id: string): Uint8Array => StartVMRequest.encode(StartVMRequest.create({ id })).finish();
const stopVm = (id: string): Uint8Array => StopVMRequest.encode(StopVMRequest.create({ id })).finish();

let bench: Bench;
beforeEach(async () => {
  bench = await startBench();
});
afterEach(() => bench.opened.closeAll());

const attach = (epoch = 1): Promise<FakeOwner> => FakeOwner.attach(bench.opened, bench.dir, { epoch });
const rawShim = (): Promise<RawShim> => RawShim.connect(bench.opened, bench.hypervisorSocket);
const statusOf = (shim: RawShim, streamId: number): number | undefined => {
  const answer = shim.answers.find((a) => a.streamId === streamId);
  return answer === undefined ? undefined : (decodeResponse(answer.data).status?.code ?? 0);
};

describe("while a control plane is attached", () => {
  test("a call passes with its stream id, metadata and answer untouched", async () => {
    const owner = await attach();
    owner.handlers.set("CreateVM", (asked) =>
      asked.answer(CreateVMResponse.encode(CreateVMResponse.create({ agentSocketPath: "/x" })).finish()),
    );
    const shim = await connectShim(bench.opened, bench.hypervisorSocket);
    const answer = await shim.call(HYPERVISOR, "CreateVM", createVm("s1"), {
      metadata: [["containerd-namespace-ttrpc", "k8s.io"]],
    });
    expect(CreateVMResponse.decode(answer).agentSocketPath).toBe("/x");
    expect(owner.asked[0]?.metadata).toEqual([["containerd-namespace-ttrpc", "k8s.io"]]);
    expect(owner.asked[0]?.streamId).toBe(1);
  });

  test("a status of the control plane reaches the shim with its text", async () => {
    const owner = await attach();
    owner.handlers.set("StartVM", (asked) => asked.fail(8, "over the limit of 3"));
    await expect(bench.call("StartVM", startVm("s1"))).rejects.toMatchObject({
      code: 8,
      message: expect.stringContaining("over the limit of 3"),
    });
  });

  test("each shim connection has an upstream of its own, which ends with it", async () => {
    const owner = await attach();
    const one = await rawShim();
    const other = await rawShim();
    one.ask(HYPERVISOR, "StartVM", startVm("s1"));
    other.ask(HYPERVISOR, "StartVM", startVm("s2"));
    await eventually(() => expect(owner.connections.size).toBe(2));
    one.close();
    await eventually(() => expect(owner.connections.size).toBe(1));
  });

  test("a shim connection that stays silent opens no upstream", async () => {
    const owner = await attach();
    await rawShim();
    const shim = await connectShim(bench.opened, bench.hypervisorSocket);
    owner.handlers.set("Version", (asked) => asked.answer());
    await shim.call(HYPERVISOR, "Version", new Uint8Array(0));
    await eventually(() => expect(owner.connections.size).toBe(1));
  });

  test("a caller that leaves during StartVM is reported and its upstream closed", async () => {
    const owner = await attach();
    const shim = await rawShim();
    shim.ask(HYPERVISOR, "StartVM", startVm("s1"));
    await owner.next("StartVM");
    shim.close();
    await eventually(() =>
      expect(owner.events).toContainEqual({ kind: "caller-left", sandboxId: "s1", method: "StartVM" }),
    );
    await eventually(() => expect(owner.connections.size).toBe(0));
  });

  test("a StopVM whose caller leaves unanswered is owed at once", async () => {
    const owner = await attach();
    const shim = await rawShim();
    shim.ask(HYPERVISOR, "StopVM", stopVm("s1"), 1000);
    await owner.next("StopVM");
    shim.close();
    await eventually(() =>
      expect(owner.events).toContainEqual({ kind: "owed-stop", sandboxId: "s1", reason: "caller" }),
    );
  });

  test("a StopVM of what can be no sandbox is passed on and never owed", async () => {
    const owner = await attach();
    owner.handlers.set("StopVM", (asked) => asked.fail(3, "no sandbox id"));
    for (const id of ["", "../../etc", "a\0b", "a b", "x".repeat(129)])
      await expect(bench.call("StopVM", stopVm(id))).rejects.toMatchObject({ code: 3 });
    expect((await attach(2)).snapshot.owedStops).toEqual([]);
  });

  test("a StopVM answered with an error stays owed, one answered OK does not", async () => {
    const owner = await attach();
    owner.handlers.set("StopVM", (asked) =>
      StopVMRequest.decode(asked.payload).id === "bad" ? asked.fail(14, "the cloud is away") : asked.answer(),
    );
    await bench.call("StopVM", stopVm("good"));
    await expect(bench.call("StopVM", stopVm("bad"))).rejects.toMatchObject({ code: 14 });
    await eventually(() =>
      expect(owner.events).toEqual([{ kind: "owed-stop", sandboxId: "bad", reason: "caller" }]),
    );
    owner.die();
    const next = await attach(2);
    expect(next.snapshot.owedStops).toEqual([{ sandboxId: "bad", reason: "caller" }]);
    await next.client.ackStop("bad");
    next.die();
    expect((await attach(3)).snapshot.owedStops).toEqual([]);
  });

  test("GetInfo of PodVMInfo passes on the same socket", async () => {
    const owner = await attach();
    owner.handlers.set("GetInfo", (asked) => asked.answer(Buffer.from([0x0a, 1, 0x69])));
    const shim = await connectShim(bench.opened, bench.hypervisorSocket);
    const payload = GetInfoRequest.encode(GetInfoRequest.create({ PodName: "p", Wait: true })).finish();
    expect(Buffer.from(await shim.call("podvminfo.PodVMInfo", "GetInfo", payload))).toEqual(
      Buffer.from([0x0a, 1, 0x69]),
    );
  });
});

describe("while no control plane is attached", () => {
  test("calls are held, named in the snapshot, and asked in ascending order at the attach", async () => {
    const shim = await rawShim();
    shim.ask(HYPERVISOR, "CreateVM", createVm("s1"));
    shim.ask(HYPERVISOR, "StartVM", startVm("s1"));
    const early = bench.call("StopVM", stopVm("s2"));
    await bench.clock.jump(10);
    const owner = await attach();
    await owner.next("StopVM");
    await owner.next("StartVM");
    expect(owner.snapshot.heldCalls).toEqual(
      expect.arrayContaining([
        { sandboxId: "s1", method: "CreateVM", deaths: 0 },
        { sandboxId: "s1", method: "StartVM", deaths: 0 },
      ]),
    );
    const ids = owner.asked.filter((asked) => asked.method !== "StopVM").map((asked) => asked.streamId);
    expect(ids).toEqual([1, 3]);
    (await owner.next("StopVM")).answer();
    await early;
  });

  test("a call is answered 14 after ten minutes", async () => {
    const shim = await rawShim();
    const id = shim.ask(HYPERVISOR, "StartVM", startVm("s1"));
    await bench.clock.jump(599_000);
    expect(statusOf(shim, id)).toBeUndefined();
    await bench.clock.jump(2000);
    await eventually(() => expect(statusOf(shim, id)).toBe(14));
  });

  test("a call is answered 4 at its own deadline", async () => {
    const shim = await rawShim();
    const id = shim.ask(HYPERVISOR, "StartVM", startVm("s1"), 60_000);
    await bench.clock.jump(59_000);
    expect(statusOf(shim, id)).toBeUndefined();
    await bench.clock.jump(1500);
    await eventually(() => expect(statusOf(shim, id)).toBe(4));
  });

  test("a held call is asked with what remains of its time", async () => {
    const shim = await rawShim();
    shim.ask(HYPERVISOR, "StartVM", startVm("s1"), 600_000);
    await bench.clock.jump(100_000);
    const owner = await attach();
    const asked = await owner.next("StartVM");
    const leftMs = Number(asked.timeoutNano / 1_000_000n);
    expect(leftMs).toBeLessThanOrEqual(500_000);
    expect(leftMs).toBeGreaterThan(490_000);
  });

  test("an undelivered CreateVM or StartVM whose caller left is dropped", async () => {
    const shim = await rawShim();
    shim.ask(HYPERVISOR, "CreateVM", createVm("s1"));
    shim.ask(HYPERVISOR, "StartVM", startVm("s1"));
    await bench.clock.jump(10);
    shim.close();
    await bench.clock.jump(10);
    const owner = await attach();
    await bench.clock.jump(100);
    expect(owner.snapshot.heldCalls).toEqual([]);
    expect(owner.snapshot.callersLeft).toEqual([]);
    expect(owner.asked).toEqual([]);
  });

  test("StopVM is never dropped: its id is owed though its caller left", async () => {
    const shim = await rawShim();
    shim.ask(HYPERVISOR, "StopVM", stopVm("s1"));
    await bench.clock.jump(10);
    shim.close();
    await bench.clock.jump(10);
    const owner = await attach();
    expect(owner.snapshot.owedStops).toEqual([{ sandboxId: "s1", reason: "caller" }]);
  });

  test("what waits is told in full, however much it is", async () => {
    const small = await startBench({ limits: { maxQueuedEvents: 1 } });
    try {
      const shim = await RawShim.connect(small.opened, small.hypervisorSocket);
      const ids = Array.from({ length: 50 }, (_, n) => `s${n}`);
      for (const id of ids) shim.ask(HYPERVISOR, "StartVM", startVm(id));
      await small.clock.jump(10);
      const owner = await FakeOwner.attach(small.opened, small.dir, { epoch: 1 });
      expect(owner.snapshot.heldCalls.map((call) => call.sandboxId)).toEqual(ids);
    } finally {
      await small.opened.closeAll();
    }
  });

  test("StopVM is never dropped: its id is owed though its time is over, as with the Rust shim's three of 1 s", async () => {
    const shim = await rawShim();
    for (let turn = 0; turn < 3; turn++) {
      const id = shim.ask(HYPERVISOR, "StopVM", stopVm("s1"), 1000);
      await bench.clock.jump(10);
      await bench.clock.jump(1100);
      await eventually(() => expect(statusOf(shim, id)).toBe(4));
    }
    const owner = await attach();
    expect(owner.snapshot.owedStops).toEqual([{ sandboxId: "s1", reason: "caller" }]);
  });
});

describe("when control planes die", () => {
  test("the next owner gets the same StartVM and the shim only sees that it took longer", async () => {
    const first = await attach(1);
    const started = bench.call("StartVM", startVm("s1"));
    await first.next("StartVM");
    first.die();
    const second = await attach(2);
    expect(second.snapshot.heldCalls).toEqual([{ sandboxId: "s1", method: "StartVM", deaths: 1 }]);
    (await second.next("StartVM")).answer();
    await started;
  });

  test("a kept connection goes on with the next owner, ids included", async () => {
    const shim = await connectShim(bench.opened, bench.hypervisorSocket);
    const first = await attach(1);
    first.handlers.set("CreateVM", (asked) => asked.answer());
    await shim.call(HYPERVISOR, "CreateVM", createVm("s1"));
    first.die();
    const second = await attach(2);
    second.handlers.set("StartVM", (asked) => asked.answer());
    second.handlers.set("StopVM", (asked) => asked.answer());
    await shim.call(HYPERVISOR, "StartVM", startVm("s1"), { timeoutMs: 10_000_000 });
    for (let turn = 0; turn < 3; turn++)
      await shim.call(HYPERVISOR, "StopVM", stopVm("s1"), { timeoutMs: 1000 });
    expect(second.asked.map((asked) => asked.streamId)).toEqual([3, 5, 7, 9]);
  });

  test("a caller that left between two owners is told to the second", async () => {
    const first = await attach(1);
    const shim = await rawShim();
    shim.ask(HYPERVISOR, "StartVM", startVm("s1"));
    await first.next("StartVM");
    first.die();
    await bench.clock.jump(10);
    shim.close();
    await bench.clock.jump(10);
    const second = await attach(2);
    expect(second.snapshot.callersLeft).toEqual([{ sandboxId: "s1", method: "StartVM" }]);
    second.die();
    expect((await attach(3)).snapshot.callersLeft).toEqual([]);
  });

  test("a call under which three died is answered 13 and its sandbox is to be undone", async () => {
    const shim = await rawShim();
    const id = shim.ask(HYPERVISOR, "StartVM", startVm("s1"));
    for (let epoch = 1; epoch <= 3; epoch++) {
      const owner = await attach(epoch);
      await owner.next("StartVM");
      owner.die();
      await bench.clock.jump(10);
    }
    await eventually(() => expect(statusOf(shim, id)).toBe(13));
    const owner = await attach(4);
    expect(owner.snapshot.owedStops).toEqual([{ sandboxId: "s1", reason: "poison" }]);
    expect(owner.snapshot.heldCalls).toEqual([]);
  });

  test("an owner that dies before it has recovered did not die of a call", async () => {
    const shim = await rawShim();
    const id = shim.ask(HYPERVISOR, "StartVM", startVm("s1"));
    for (let epoch = 1; epoch <= 5; epoch++) {
      const owner = await FakeOwner.attach(bench.opened, bench.dir, { epoch, recovers: false });
      await owner.next("StartVM");
      owner.die();
      await bench.clock.jump(10);
    }
    const owner = await attach(6);
    expect(owner.snapshot.heldCalls).toEqual([{ sandboxId: "s1", method: "StartVM", deaths: 0 }]);
    (await owner.next("StartVM")).answer();
    await eventually(() => expect(statusOf(shim, id)).toBe(0));
  });

  test("a StopVM is never blamed: it is asked until it is answered", async () => {
    const shim = await rawShim();
    const id = shim.ask(HYPERVISOR, "StopVM", startVm("s1"));
    for (let epoch = 1; epoch <= 5; epoch++) {
      const owner = await attach(epoch);
      await owner.next("StopVM");
      owner.die();
      await bench.clock.jump(10);
    }
    (await (await attach(6)).next("StopVM")).answer();
    await eventually(() => expect(statusOf(shim, id)).toBe(0));
  });

  test("an owner that releases itself does not count as died", async () => {
    const shim = await rawShim();
    const id = shim.ask(HYPERVISOR, "StartVM", startVm("s1"));
    for (let epoch = 1; epoch <= 5; epoch++) {
      const owner = await attach(epoch);
      await owner.next("StartVM");
      await owner.leave();
    }
    const owner = await attach(6);
    expect(owner.snapshot.heldCalls).toEqual([{ sandboxId: "s1", method: "StartVM", deaths: 0 }]);
    (await owner.next("StartVM")).answer();
    await eventually(() => expect(statusOf(shim, id)).toBe(0));
  });

  test("a frame connection that breaks alone is made again to the same owner", async () => {
    const owner = await attach();
    const shim = await rawShim();
    const id = shim.ask(HYPERVISOR, "StartVM", startVm("s1"));
    await owner.next("StartVM");
    owner.cut();
    (await owner.next("StartVM", 1)).answer();
    await eventually(() => expect(statusOf(shim, id)).toBe(0));
  });

  test("a call that breaks its connection three times under a living owner is answered 13", async () => {
    const owner = await attach();
    owner.handlers.set("StartVM", (asked) => asked.connection.destroy());
    await expect(bench.call("StartVM", startVm("s1"))).rejects.toMatchObject({ code: 13 });
    await eventually(() =>
      expect(owner.events).toContainEqual({ kind: "owed-stop", sandboxId: "s1", reason: "poison" }),
    );
  });

  test("an idle frame connection that the owner closes costs nothing", async () => {
    const owner = await attach();
    owner.handlers.set("Version", (asked) => asked.answer());
    const shim = await connectShim(bench.opened, bench.hypervisorSocket);
    await shim.call(HYPERVISOR, "Version", new Uint8Array(0));
    owner.cut();
    await shim.call(HYPERVISOR, "Version", new Uint8Array(0));
  });

  test("the ten minutes begin again when an owner dies", async () => {
    const owner = await attach();
    const shim = await rawShim();
    const id = shim.ask(HYPERVISOR, "StartVM", startVm("s1"));
    await owner.next("StartVM");
    await bench.clock.jump(3_000_000);
    owner.die();
    await bench.clock.jump(590_000);
    expect(statusOf(shim, id)).toBeUndefined();
    await bench.clock.jump(20_000);
    await eventually(() => expect(statusOf(shim, id)).toBe(14));
  });
});

describe("against odd shims", () => {
  const version = (streamId: number, flags = 0) => ({
    streamId,
    type: FrameType.Request,
    flags,
    data: Buffer.from([0x0a, 1, 0x78, 0x12, 1, 0x79]),
  });

  test("even and used ids, data frames, streaming and broken envelopes are refused on their stream only", async () => {
    const owner = await attach();
    owner.handlers.set("y", (asked) => asked.answer());
    const shim = await rawShim();
    shim.send(version(2));
    shim.send(version(1));
    shim.send(version(1));
    shim.send({ ...version(3), type: FrameType.Data });
    shim.send(version(5, FrameFlag.RemoteOpen));
    shim.send({ ...version(7), data: Buffer.from("ffff", "hex") });
    shim.send({ ...version(9), type: 77 });
    shim.send(version(11));
    await eventually(() => expect(shim.answers.length).toBe(7));
    expect(statusOf(shim, 2)).toBe(3);
    expect(
      shim.answers.filter((a) => a.streamId === 1).map((a) => decodeResponse(a.data).status?.code),
    ).toEqual(expect.arrayContaining([3, undefined]));
    expect([3, 5, 7, 11].map((id) => statusOf(shim, id))).toEqual([3, 12, 3, 0]);
    expect(shim.closed).toBe(false);
  });

  test("a frame over 4 MiB costs its stream code 8 and not the connection", async () => {
    await attach();
    const socket = await import("node:net").then((net) => net.connect(bench.hypervisorSocket));
    bench.opened.add(socket, (s) => s.destroy());
    const header = Buffer.alloc(10);
    header.writeUInt32BE(MAX_DATA_BYTES + 1, 0);
    header.writeUInt32BE(1, 4);
    header.writeUInt8(1, 8);
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.write(header);
    socket.write(Buffer.alloc(MAX_DATA_BYTES + 1));
    await eventually(() => expect(Buffer.concat(chunks).length).toBeGreaterThan(10));
    expect(decodeResponse(Buffer.concat(chunks).subarray(10)).status?.code).toBe(8);
    expect(socket.destroyed).toBe(false);
  });
});

describe("bounds", () => {
  test("a connection over the bound is closed, a call over it is refused with 8, its StopVM is owed all the same", async () => {
    const small = await startBench({
      limits: { maxHypervisorConnections: 2, maxCallsPerConnection: 2, maxHypervisorBytes: 400 },
    });
    try {
      const shim = await RawShim.connect(small.opened, small.hypervisorSocket);
      shim.ask(HYPERVISOR, "StartVM", startVm("s1"));
      shim.ask(HYPERVISOR, "StartVM", startVm("s2"));
      const third = shim.ask(HYPERVISOR, "StopVM", stopVm("s3"));
      await eventually(() => expect(statusOf(shim, third)).toBe(8));
      const other = await RawShim.connect(small.opened, small.hypervisorSocket);
      const large = other.ask(HYPERVISOR, "CreateVM", createVm("x".repeat(500)));
      await eventually(() => expect(statusOf(other, large)).toBe(8));
      const extra = await RawShim.connect(small.opened, small.hypervisorSocket);
      await eventually(() => expect(extra.closed).toBe(true));
      const owner = await FakeOwner.attach(small.opened, small.dir);
      expect(owner.snapshot.owedStops).toEqual([{ sandboxId: "s3", reason: "caller" }]);
    } finally {
      await small.opened.closeAll();
    }
  });
});
