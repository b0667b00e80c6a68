import { existsSync, lstatSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CaaError } from "../errors/index.ts";
import { StopVMRequest } from "../gen/hypervisor/hypervisor.ts";
import { type Event, ShimProxyClient as WireClient } from "../gen/shimproxy/control.ts";
import { silentLog, systemClock } from "../platform/index.ts";
import { ShimProxyClient } from "./index.ts";
import { runShimProxy } from "./server.ts";
import {
  type Bench,
  connectShim,
  eventually,
  FakeOwner,
  linkedPod,
  RawShim,
  startBench,
} from "./test-peers.ts";

let bench: Bench;
beforeEach(async () => {
  bench = await startBench();
});
afterEach(() => bench.opened.closeAll());

const attach = (epoch: number, onLost?: (reason: Error) => void): Promise<FakeOwner> =>
  FakeOwner.attach(bench.opened, bench.dir, { epoch, ...(onLost === undefined ? {} : { onLost }) });
const wire = (): WireClient =>
  bench.opened.add(new WireClient(`unix:${bench.dir}/proxy.sock`, credentials.createInsecure()), (c) =>
    c.close(),
  );

describe("Attach", () => {
  test("a lower epoch is refused, an equal or higher one takes over", async () => {
    const lost: Error[] = [];
    await attach(5, (reason) => lost.push(reason));
    await expect(attach(4)).rejects.toMatchObject({
      kind: "wrong-state",
      message: expect.stringContaining("epoch 4"),
    });
    expect(lost).toEqual([]);
    const again = await attach(5, (reason) => lost.push(reason));
    await eventually(() => expect(lost.length).toBe(1));
    await attach(6);
    await eventually(() => expect(lost.length).toBe(2));
    expect(lost[1]?.message).toContain("another control plane took over");
    await expect(again.client.closeSandbox("s1")).rejects.toMatchObject({ kind: "wrong-state" });
  });

  test("no API version in common is refused as unsupported", async () => {
    const stream = wire().attach({ epoch: 1n, apiVersions: [99], frameSocket: "/x", programVersion: "" });
    const error = await new Promise<{ code: number; details: string }>((resolve) =>
      stream.on("error", resolve),
    );
    expect(error.code).toBe(12);
    expect(error.details).toMatch(/99.*shim-proxy 1/);
  });

  test("an unknown, newer version among those offered is passed over", async () => {
    const stream = wire().attach({ epoch: 1n, apiVersions: [2, 1], frameSocket: "/x", programVersion: "" });
    stream.on("error", () => undefined);
    const first = await new Promise<Event>((resolve) => stream.once("data", resolve));
    expect(first.attached?.apiVersion).toBe(1);
    stream.cancel();
  });

  test("a frame socket that is no absolute path, or too long, is refused", async () => {
    for (const frameSocket of ["", "x.sock", `/${"x".repeat(120)}`]) {
      const client = await ShimProxyClient.connect(join(bench.dir, "proxy.sock"));
      bench.opened.add(client, (c) => c.close());
      await expect(
        client.attach({ epoch: 1, frameSocket, programVersion: "" }, () => undefined),
      ).rejects.toBeInstanceOf(CaaError);
    }
  });

  test("every mutating call needs the epoch of the attached owner", async () => {
    const client = wire();
    await attach(3);
    const call = (
      send: (done: (error: { code?: number } | null) => void) => void,
    ): Promise<number | undefined> => new Promise((resolve) => send((error) => resolve(error?.code)));
    for (const epoch of [2n, 4n]) {
      expect(await call((done) => client.putSandbox({ epoch, id: "a", dir: "/a" }, done))).toBe(9);
      expect(await call((done) => client.closeSandbox({ epoch, id: "a" }, done))).toBe(9);
      expect(await call((done) => client.failLink({ epoch, id: "a", reason: "" }, done))).toBe(9);
      expect(await call((done) => client.ackStop({ epoch, sandboxId: "a" }, done))).toBe(9);
      expect(await call((done) => client.release({ epoch }, done))).toBe(9);
      const link = { epoch, id: "a", address: "", port: 1, tls: undefined, timeoutMs: 1n, volumes: [] };
      expect(await call((done) => client.putLink(link, done))).toBe(9);
    }
    expect(await call((done) => client.closeSandbox({ epoch: 3n, id: "a" }, done))).toBeUndefined();
  });

  test("the instance id is the same for each owner of one proxy", async () => {
    const first = await attach(1);
    first.die();
    const second = await attach(2);
    expect(second.snapshot.instanceId).toBe(first.snapshot.instanceId);
    expect(second.snapshot.instanceId).toBe(bench.proxy.instanceId);
  });
});

describe("the client", () => {
  test("says so when no proxy answers", async () => {
    await expect(
      ShimProxyClient.connect(join(bench.dir, "nothing.sock"), { timeoutMs: 100 }),
    ).rejects.toMatchObject({ kind: "unavailable", message: expect.stringContaining("nothing.sock") });
  });

  test("refuses calls before its attach", async () => {
    const client = await ShimProxyClient.connect(join(bench.dir, "proxy.sock"));
    bench.opened.add(client, (c) => c.close());
    await expect(client.closeSandbox("s1")).rejects.toMatchObject({ kind: "wrong-state" });
  });

  test("reports the proxy's death once, and its own release and close never", async () => {
    const lost: Error[] = [];
    const owner = await attach(1, (reason) => lost.push(reason));
    await owner.leave();
    await attach(2, (reason) => lost.push(reason));
    expect(lost).toEqual([]);
    await bench.proxy.close();
    await eventually(() => expect(lost.length).toBe(1));
    expect(lost[0]).toMatchObject({ kind: "unavailable" });
  });

  test("an aborted call rejects as cancelled, also before it began", async () => {
    const { client } = await attach(1);
    await expect(client.closeSandbox("s1", AbortSignal.abort())).rejects.toMatchObject({ kind: "cancelled" });
  });
});

describe("sockets and the lock", () => {
  test("the control socket and hypervisor.sock have mode 0600", () => {
    for (const name of ["proxy.sock", "hypervisor.sock"])
      expect(statSync(join(bench.dir, name)).mode & 0o777).toBe(0o600);
  });

  test("a second proxy on the same folder ends, saying why, and the first serves on", async () => {
    await expect(
      runShimProxy(
        { runDir: bench.dir, hypervisorSocket: bench.hypervisorSocket },
        { clock: systemClock, log: silentLog },
      ),
    ).rejects.toMatchObject({ kind: "wrong-state", message: expect.stringContaining("another shim-proxy") });
    await attach(1);
  });

  test("stale sockets are replaced in one step, and a client that connects in a loop meets no error", async () => {
    await bench.proxy.close();
    writeFileSync(bench.hypervisorSocket, "stale");
    const next = await runShimProxy(
      { runDir: bench.dir, hypervisorSocket: bench.hypervisorSocket },
      { clock: systemClock, log: silentLog },
    );
    expect(lstatSync(bench.hypervisorSocket).isSocket()).toBe(true);
    expect(next.instanceId).not.toBe(bench.proxy.instanceId);
    const shim = await RawShim.connect(bench.opened, bench.hypervisorSocket);
    expect(shim.closed).toBe(false);
    await next.close();
  });

  test("an orderly end removes the sockets if they are still ours", async () => {
    await bench.proxy.close();
    expect(existsSync(bench.hypervisorSocket)).toBe(false);
    expect(existsSync(join(bench.dir, "proxy.sock"))).toBe(false);
  });

  test("an orderly end leaves a successor's hypervisor.sock alone", async () => {
    const other = net.createServer();
    bench.opened.add(other, (server) => server.close());
    rmSync(bench.hypervisorSocket);
    await new Promise<void>((resolve) => other.listen(bench.hypervisorSocket, () => resolve()));
    await bench.proxy.close();
    expect(existsSync(bench.hypervisorSocket)).toBe(true);
  });

  test("paths that are not absolute stop the start", async () => {
    for (const config of [
      { runDir: "", hypervisorSocket: bench.hypervisorSocket },
      { runDir: bench.dir, hypervisorSocket: "hypervisor.sock" },
    ])
      await expect(runShimProxy(config, { clock: systemClock, log: silentLog })).rejects.toMatchObject({
        kind: "invalid-config",
      });
  });

  test("a socket path over 107 bytes stops the start with a clear text", async () => {
    const dir = mkdtempSync(join(tmpdir(), "sp-"));
    try {
      await expect(
        runShimProxy(
          { runDir: dir, hypervisorSocket: join(dir, "x".repeat(100)) },
          { clock: systemClock, log: silentLog },
        ),
      ).rejects.toMatchObject({ kind: "too-large", message: expect.stringContaining("107") });
      expect(existsSync(join(dir, "proxy.sock"))).toBe(false);
      const again = await runShimProxy(
        { runDir: dir, hypervisorSocket: join(dir, "h.sock") },
        { clock: systemClock, log: silentLog },
      );
      await again.close();
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describe("on SIGTERM (drain)", () => {
  test("it stays until its last sandbox is closed", async () => {
    const { owner, shim } = await linkedPod(bench);
    let ended = false;
    void bench.proxy.done.then(() => {
      ended = true;
    });
    const drained = bench.proxy.drain();
    await bench.clock.jump(60_000);
    expect(ended).toBe(false);
    expect((await shim.call("grpc.Health", "Check", new Uint8Array(0))).length).toBe(2);
    await owner.client.closeSandbox("s1");
    await bench.clock.jump(300);
    await drained;
    expect(existsSync(bench.hypervisorSocket)).toBe(false);
  });

  test("it does not leave with a stop that nobody has acknowledged", async () => {
    const shim = await connectShim(bench.opened, bench.hypervisorSocket);
    const stop = StopVMRequest.encode(StopVMRequest.create({ id: "s1" })).finish();
    const stopped = shim.call("hypervisor.Hypervisor", "StopVM", stop, { timeoutMs: 1000 });
    stopped.catch(() => undefined);
    await bench.clock.jump(10);
    shim.close();
    let ended = false;
    const drained = bench.proxy.drain().then(() => {
      ended = true;
    });
    await bench.clock.jump(60_000);
    expect(ended).toBe(false);
    const owner = await attach(1);
    await owner.client.ackStop("s1");
    await bench.clock.jump(300);
    await drained;
  });
});
