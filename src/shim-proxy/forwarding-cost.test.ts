import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Child } from "../../test/node/child.ts";
import { eventually, FakeOwner, FakeVm, Opened, RawShim } from "./test-peers.ts";

let opened: Opened;
beforeEach(() => {
  opened = new Opened();
});
afterEach(() => opened.closeAll());

/** Reads and writes of a process so far, as the kernel counts its system calls (proc(5), io). */
function systemCalls(pid: number): number {
  const text = readFileSync(`/proc/${pid}/io`, "utf8");
  return ["syscr", "syscw"].reduce(
    (sum, name) => sum + Number(new RegExp(`^${name}: (\\d+)$`, "m").exec(text)?.[1]),
    0,
  );
}

const canCount = (): boolean => {
  try {
    return systemCalls(process.pid) >= 0;
  } catch {
    return false;
  }
};

const WARM_UP = 200;
const CALLS = 500;

test.skipIf(!canCount())(
  "a forwarded call that is alone costs two reads and two writes (needs /proc/PID/io)",
  async () => {
    const dir = opened.add(mkdtempSync(join(tmpdir(), "fc-")), (path) => rmSync(path, { recursive: true }));
    const args = ["shim-proxy", `-socket=${join(dir, "hypervisor.sock")}`];
    const proxy = opened.add(new Child("shim-proxy", join(dir, "log"), args), (child) => child.kill());
    const owner = await FakeOwner.attach(opened, dir);
    const vm = await FakeVm.start(opened);
    const podDir = join(dir, "s1");
    mkdirSync(podDir);
    await owner.client.putSandbox("s1", podDir);
    await owner.client.putLink(vm.target("s1"));
    const shim = await RawShim.connect(opened, join(podDir, "agent.ttrpc"));
    const check = async (count: number): Promise<void> => {
      for (let done = 0; done < count; done++) {
        shim.ask("grpc.Health", "Check");
        await eventually(() => expect(shim.answers.length).toBeGreaterThan(done));
      }
      shim.answers.length = 0;
    };
    await check(WARM_UP);
    const { pid = 0 } = proxy.process;
    const before = systemCalls(pid);
    await check(CALLS);
    // The rest is Node's own: its threads wake its loop when they have compiled something.
    expect((systemCalls(pid) - before) / CALLS).toBeLessThan(4.5);
  },
);
