import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ReadStreamRequest, WaitProcessRequest, WaitProcessResponse } from "../gen/agent/agent.ts";
import { HealthCheckResponse } from "../gen/agent/health.ts";
import { decodeResponse } from "../ttrpc/index.ts";
import {
  AGENT,
  type Bench,
  check,
  connectShim,
  eventually,
  FakeOwner,
  FakeVm,
  type LinkedPod,
  linkedPod,
  RawShim,
  startBench,
} from "./test-peers.ts";

const NONE = new Uint8Array(0);
const wait = (containerId: string): Uint8Array =>
  WaitProcessRequest.encode(WaitProcessRequest.create({ containerId, execId: containerId })).finish();
const read = (containerId: string): Uint8Array =>
  ReadStreamRequest.encode(ReadStreamRequest.create({ containerId, len: 32_768 })).finish();

let bench: Bench;
beforeEach(async () => {
  bench = await startBench();
});
afterEach(() => bench.opened.closeAll());

/** A pod whose agent has answered: only then the proxy knows what its silence means. */
async function livingPod(agentVersion = "3.32.0"): Promise<LinkedPod> {
  const pod = await linkedPod(bench);
  pod.vm.agentVersion = agentVersion;
  await check(pod.shim);
  return pod;
}

const linkStates = (owner: FakeOwner): string[] =>
  owner.events.flatMap((event) => (event.kind === "link" ? [event.state] : []));
const losses = (owner: FakeOwner): string[] =>
  owner.events.flatMap((event) => (event.kind === "loss" ? [event.loss] : []));
const statusOf = (shim: RawShim, streamId: number): number | undefined => {
  const answer = shim.answers.find((a) => a.streamId === streamId);
  return answer === undefined ? undefined : (decodeResponse(answer.data).status?.code ?? 0);
};

/** The VM refuses connections until `up`. */
function away(vm: FakeVm): { up(): void } {
  vm.listening = false;
  vm.cut();
  return {
    up() {
      vm.listening = true;
    },
  };
}

describe("a reset of the link", () => {
  test("pending WaitProcess, Reads and GetOOMEvent are asked again, ascending, and the shim sees only the answers", async () => {
    const { owner, vm, shim } = await livingPod();
    const oom = shim.call(AGENT, "GetOOMEvent", NONE);
    const waited = shim.call(AGENT, "WaitProcess", wait("c1"));
    const out = shim.call(AGENT, "ReadStdout", read("c1"));
    const err = shim.call(AGENT, "ReadStderr", read("c1"));
    await vm.next("ReadStderr");
    vm.cut();
    const again = await vm.next("ReadStderr", 1);
    const second = vm.calls.slice(4);
    expect(second.map((asked) => asked.method)).toEqual([
      "GetOOMEvent",
      "WaitProcess",
      "ReadStdout",
      "ReadStderr",
    ]);
    expect(second.map((asked) => asked.streamId)).toEqual([3, 5, 7, 9]);
    again.answer(Buffer.from("err"));
    for (const asked of second.slice(0, 3)) asked.answer(Buffer.from(asked.method));
    expect(Buffer.from(await err).toString()).toBe("err");
    expect(Buffer.from(await waited).toString()).toBe("WaitProcess");
    expect(Buffer.from(await out).toString()).toBe("ReadStdout");
    expect(Buffer.from(await oom).toString()).toBe("GetOOMEvent");
    await eventually(() => expect(linkStates(owner)).toEqual(["dialing", "up", "down", "up"]));
    expect(losses(owner)).toEqual(["output-chunk", "output-chunk"]);
  });

  test("a call that was written and not answered is answered 14 at once", async () => {
    const { owner, vm, shim } = await livingPod();
    const started = shim.call(AGENT, "StartContainer", NONE);
    await vm.next("StartContainer");
    away(vm);
    await expect(started).rejects.toMatchObject({
      code: 14,
      message: expect.stringContaining("StartContainer"),
    });
    await eventually(() => expect(losses(owner)).toEqual(["call"]));
    expect(vm.calls.length).toBe(1);
  });

  test("a call made while the link is down waits for it, and takes effect once", async () => {
    const { vm, shim } = await livingPod();
    const link = away(vm);
    await bench.clock.jump(100);
    const started = shim.call(AGENT, "StartContainer", NONE);
    await bench.clock.jump(1500);
    link.up();
    await bench.clock.jump(300);
    (await vm.next("StartContainer")).answer();
    await started;
    expect(vm.calls.length).toBe(1);
  });

  test("a call made while the link is down is answered 14 after 2 s", async () => {
    const { vm, agentSocket } = await livingPod();
    const shim = await RawShim.connect(bench.opened, agentSocket);
    away(vm);
    await bench.clock.jump(100);
    const id = shim.ask(AGENT, "ExecProcess", NONE, 60_000);
    await bench.clock.jump(1900);
    expect(statusOf(shim, id)).toBeUndefined();
    await bench.clock.jump(300);
    await eventually(() => expect(statusOf(shim, id)).toBe(14));
  });

  test("asking again carries the remaining time of the call's deadline", async () => {
    const { vm, shim } = await livingPod();
    const waited = shim.call(AGENT, "WaitProcess", wait("c1"), { timeoutMs: 100_000 });
    await vm.next("WaitProcess");
    const link = away(vm);
    await bench.clock.jump(30_000);
    link.up();
    await bench.clock.jump(300);
    const again = await vm.next("WaitProcess", 1);
    const leftMs = Number(again.timeoutNano / 1_000_000n);
    expect(leftMs).toBeLessThanOrEqual(70_000);
    expect(leftMs).toBeGreaterThan(65_000);
    again.answer();
    await waited;
  });

  test("a call past its deadline is answered 4 and not asked again", async () => {
    const { vm, agentSocket } = await livingPod();
    const shim = await RawShim.connect(bench.opened, agentSocket);
    const id = shim.ask(AGENT, "WaitProcess", wait("c1"), 20_000);
    await vm.next("WaitProcess");
    const link = away(vm);
    await bench.clock.jump(21_000);
    await eventually(() => expect(statusOf(shim, id)).toBe(4));
    link.up();
    await bench.clock.jump(300);
    await check(await connectShim(bench.opened, `${bench.dir}/s1/agent.ttrpc`));
    expect(vm.calls.length).toBe(1);
  });

  test("a shim that leaves while the link is down takes its calls with it", async () => {
    const { owner, vm, shim } = await livingPod();
    shim.call(AGENT, "WaitProcess", wait("c1")).catch(() => undefined);
    await vm.next("WaitProcess");
    const link = away(vm);
    await bench.clock.jump(50);
    shim.close();
    await eventually(() =>
      expect(owner.events.at(-1)).toMatchObject({ kind: "shim-connections", open: 0, ever: true }),
    );
    link.up();
    await bench.clock.jump(1000);
    expect(vm.calls.length).toBe(1);
  });
});

describe("what the agent says to a call asked again", () => {
  const reasked = async (method: string, payload: Uint8Array, code: number) => {
    const { owner, vm, shim } = await livingPod();
    const answer = shim.call(AGENT, method, payload);
    await vm.next(method);
    vm.cut();
    (await vm.next(method, 1)).fail(code, "InvalidExecId");
    return { owner, answer };
  };

  test("WaitProcess answered 5 becomes exit status 255, and the owner is told", async () => {
    const { owner, answer } = await reasked("WaitProcess", wait("c1"), 5);
    expect(WaitProcessResponse.decode(await answer).status).toBe(255);
    await eventually(() =>
      expect(owner.events).toContainEqual(
        expect.objectContaining({ kind: "loss", loss: "exit-code", detail: expect.stringContaining("c1") }),
      ),
    );
  });

  test.each(["ReadStdout", "ReadStderr"])("%s answered 5 becomes empty data", async (method) => {
    const { answer } = await reasked(method, read("c1"), 5);
    expect((await answer).length).toBe(0);
  });

  test.each(["WaitProcess", "ReadStdout"])(
    "%s answered 3 passes unchanged: the VM was rebooted",
    async (method) => {
      const { answer } = await reasked(method, read("c1"), 3);
      await expect(answer).rejects.toMatchObject({ code: 3 });
    },
  );

  test("5 to a WaitProcess that was asked once passes unchanged", async () => {
    const { vm, shim } = await livingPod();
    vm.handlers.set("WaitProcess", (asked) => asked.fail(5, "InvalidExecId"));
    await expect(shim.call(AGENT, "WaitProcess", wait("c1"))).rejects.toMatchObject({ code: 5 });
  });
});

describe("GetOOMEvent", () => {
  const broken = async (agentVersion: string | undefined) => {
    const pod = await linkedPod(bench);
    pod.vm.asked.length = 0;
    if (agentVersion === undefined)
      pod.vm.handlers.set("Version", (asked) => asked.fail(12, "no such method"));
    else pod.vm.agentVersion = agentVersion;
    // The version is asked on each link: one break brings it up to date.
    pod.vm.cut();
    await pod.vm.next("Version");
    pod.shim.call(AGENT, "GetOOMEvent", NONE).catch(() => undefined);
    await pod.vm.next("GetOOMEvent");
    pod.vm.cut();
    await pod.vm.next("Version", 1);
    await check(pod.shim);
    return pod;
  };

  test.each(["3.32.0", "4.1.0", "3.100.2-dirty"])("is asked again of agent %s", async (version) => {
    const { vm } = await broken(version);
    await vm.next("GetOOMEvent", 1);
  });

  test.each(["3.31.9", "3.32.0-rc1", "2.5.0", "", undefined])(
    "is held unanswered for agent %s, which would deadlock, and the loss is told",
    async (version) => {
      const { owner, vm, shim } = await broken(version);
      await check(shim);
      expect(vm.methods.filter((method) => method === "GetOOMEvent")).toEqual(["GetOOMEvent"]);
      await eventually(() => expect(losses(owner)).toEqual(["oom-event"]));
    },
  );
});

describe("health checks", () => {
  test("while the link is up the agent answers, whatever it says", async () => {
    const { vm, shim } = await livingPod();
    vm.handlers.set("Check", (asked) => asked.answer(HealthCheckResponse.encode({ status: 2 }).finish()));
    expect(await check(shim)).toBe(2);
  });

  test("while the link is down the proxy answers, within 2 s", async () => {
    const { vm, shim } = await livingPod();
    away(vm);
    await bench.clock.jump(100);
    const checked = check(shim);
    await bench.clock.jump(2100);
    expect(await checked).toBe(1);
  });

  test("a forwarded Check unanswered for 8 s means that the link is down; it is dropped and dialled again", async () => {
    const { owner, vm, shim } = await livingPod();
    vm.hang();
    const checked = check(shim);
    await vm.next("Check", 1);
    const before = vm.connectionCount;
    await bench.clock.jump(8100);
    await eventually(() => expect(linkStates(owner)).toContain("down"));
    await eventually(() => expect(vm.connectionCount).toBe(before + 1));
    vm.revive();
    await bench.clock.jump(2100);
    expect(await checked).toBe(1);
  });

  test("an agent that answers other calls is alive though a Check is slow", async () => {
    const { owner, vm, shim } = await livingPod();
    vm.handlers.delete("Check");
    vm.handlers.set("StatsContainer", (asked) => asked.answer());
    check(shim).catch(() => undefined);
    for (let second = 0; second < 30; second++) {
      await bench.clock.jump(1000);
      await shim.call(AGENT, "StatsContainer", NONE);
    }
    expect(linkStates(owner)).not.toContain("down");
  });

  test("the proxy sends Checks of its own on an idle link, and finds it dead within 13 s", async () => {
    const { owner, vm } = await livingPod();
    const checks = vm.methods.filter((method) => method === "Check").length;
    await bench.clock.jump(5100);
    await vm.next("Check", checks);
    vm.hang();
    await bench.clock.jump(13_100);
    await eventually(() => expect(linkStates(owner)).toContain("down"));
  });

  test("an agent that has never answered is given the time that its shim gives it", async () => {
    const owner = await FakeOwner.attach(bench.opened, bench.dir);
    const vm = await FakeVm.start(bench.opened);
    vm.hang();
    const dir = bench.sandboxDir("s1");
    await owner.client.putSandbox("s1", dir);
    await owner.client.putLink(vm.target("s1"));
    const shim = await connectShim(bench.opened, `${dir}/agent.ttrpc`);
    const checked = check(shim);
    const asked = await vm.next("Check");
    await bench.clock.jump(25_000);
    asked.answer(HealthCheckResponse.encode({ status: 1 }).finish());
    expect(await checked).toBe(1);
    expect(vm.connectionCount).toBe(1);
  });
});

describe("the limit of 120 s", () => {
  test("counts from the agent's last answer; then the shim's connections are closed and the owner is told", async () => {
    const { owner, vm, shim } = await livingPod();
    shim.call(AGENT, "WaitProcess", wait("c1")).catch(() => undefined);
    await vm.next("WaitProcess");
    away(vm);
    await bench.clock.jump(118_000);
    expect(linkStates(owner)).not.toContain("lost");
    await bench.clock.jump(3000);
    await shim.closed;
    await eventually(() => expect(linkStates(owner).at(-1)).toBe("lost"));
  });

  test("a TLS connect does not reset it: the forwarder accepts while its agent hangs", async () => {
    const { owner, vm, shim } = await livingPod();
    vm.hang();
    await bench.clock.jump(119_000);
    expect(linkStates(owner).at(-1)).toBe("down");
    expect(vm.connectionCount).toBeGreaterThan(10);
    await bench.clock.jump(3000);
    await shim.closed;
    await eventually(() => expect(linkStates(owner).at(-1)).toBe("lost"));
  });

  test("a hung agent that comes back in time costs nothing but the chunks of one break", async () => {
    const { owner, vm, shim } = await livingPod();
    const reading = shim.call(AGENT, "ReadStdout", read("c1"));
    await vm.next("ReadStdout");
    vm.hang();
    await bench.clock.jump(90_000);
    vm.revive();
    await bench.clock.jump(9000);
    (await vm.next("ReadStdout", 1)).answer(Buffer.from("out"));
    expect(Buffer.from(await reading).toString()).toBe("out");
    expect(losses(owner)).toEqual(["output-chunk"]);
    expect(vm.calls.length).toBe(2);
  });

  test("FailLink closes at once, and a shim that comes later is refused", async () => {
    const { owner, shim, agentSocket } = await livingPod();
    await owner.client.failLink("s1", "the cloud deleted it");
    await shim.closed;
    await eventually(() =>
      expect(owner.events).toContainEqual({
        kind: "link",
        sandboxId: "s1",
        state: "lost",
        reason: "the cloud deleted it",
        breaks: 0,
      }),
    );
    const late = await RawShim.connect(bench.opened, agentSocket);
    await eventually(() => expect(late.closed).toBe(true));
    await owner.client.failLink("unknown", "");
  });

  test("PutLink after the loss makes a new link", async () => {
    const { owner, vm, agentSocket } = await livingPod();
    await owner.client.failLink("s1", "a mistake");
    await owner.client.putLink(vm.target("s1"));
    expect(await check(await connectShim(bench.opened, agentSocket))).toBe(1);
  });
});

describe("when the control plane dies", () => {
  test("links live on, heal, and are in the next owner's snapshot", async () => {
    const { owner, vm, shim } = await livingPod();
    const waited = shim.call(AGENT, "WaitProcess", wait("c1"));
    await vm.next("WaitProcess");
    owner.die();
    await bench.clock.jump(20);
    vm.cut();
    (await vm.next("WaitProcess", 1)).answer(Buffer.from([8, 3]));
    expect(WaitProcessResponse.decode(await waited).status).toBe(3);
    const next = await FakeOwner.attach(bench.opened, bench.dir, { epoch: 2 });
    expect(next.snapshot.sandboxes).toEqual([
      {
        id: "s1",
        dir: `${bench.dir}/s1`,
        link: { state: "up", reason: "", breaks: 1 },
        connections: { open: 1, ever: true },
      },
    ]);
  });
});

describe("100 breaks during steady output", () => {
  test("lose at most one chunk each, no call fails, and the exit code arrives", async () => {
    const { owner, vm, shim } = await livingPod();
    const waited = shim.call(AGENT, "WaitProcess", wait("c1"));
    await vm.next("WaitProcess");
    let produced = 0;
    // An agent with output at every instant: a chunk that was read for a dead connection is gone.
    vm.handlers.set("ReadStdout", (asked) => {
      produced++;
      asked.answer(Buffer.from([produced >> 8, produced & 255]));
    });
    const seen: number[] = [];
    for (let cut = 0; cut < 100; cut++) {
      const until = seen.length + 5;
      while (seen.length < until) {
        const chunk = await shim.call(AGENT, "ReadStdout", read("c1"));
        seen.push(((chunk[0] ?? 0) << 8) | (chunk[1] ?? 0));
        if (seen.length === until - 2) vm.cut();
      }
    }
    expect([...new Set(seen)].sort((a, b) => a - b)).toEqual(seen);
    expect(produced - seen.length).toBeLessThanOrEqual(100);
    const waits = vm.asked.filter((asked) => asked.method === "WaitProcess");
    expect(waits.length).toBeGreaterThan(90);
    waits.at(-1)?.answer(Buffer.from([8, 7]));
    expect(WaitProcessResponse.decode(await waited).status).toBe(7);
    expect(linkStates(owner)).not.toContain("lost");
    expect(await check(shim)).toBe(1);
  });
});
