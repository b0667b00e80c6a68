import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PlayedShim } from "../../test/shim/played-shim.ts";
import { journalFailed } from "../errors/index.ts";
import { type Clock, silentLog, systemClock } from "../platform/index.ts";
import type { ProxySnapshot } from "../shim-proxy/index.ts";
import { runShimProxy } from "../shim-proxy/server.ts";
import { ProxySession, type ProxySessionHandlers } from "./proxy-session.ts";

/** Waits are short. */
const hastyClock: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 10), signal),
};

async function withProxy(work: (session: ProxySession, runDir: string) => Promise<void>): Promise<void> {
  const runDir = mkdtempSync(join(tmpdir(), "session-"));
  const proxy = await runShimProxy(
    { runDir, hypervisorSocket: join(runDir, "hypervisor.sock") },
    { clock: systemClock, log: silentLog },
  );
  try {
    await work(
      new ProxySession(
        { clock: hastyClock, log: silentLog },
        {
          controlSocket: join(runDir, "proxy.sock"),
          frameSocket: join(runDir, "frames.sock"),
          epoch: 1,
          programVersion: "test",
          waitMs: 60_000,
        },
      ),
      runDir,
    );
  } finally {
    await proxy.close();
    rmSync(runDir, { recursive: true, force: true });
  }
}

const handlers = (onAttached: () => void): ProxySessionHandlers => ({
  onAttached: async () => onAttached(),
  onEvent: () => undefined,
  onAbsent: () => undefined,
});

test("an end that comes while attaching ends the session", async () => {
  await withProxy(async (session) => {
    const ending = new AbortController();
    const running = session.run(
      handlers(() => undefined),
      ending.signal,
    );
    ending.abort(new Error("shutting down"));
    await running;
    await expect(session.putSandbox("s1", "/run/s1")).rejects.toMatchObject({ code: 14 });
  });
});

test("an end that comes after attaching ends the session", async () => {
  await withProxy(async (session) => {
    const ending = new AbortController();
    const attached = Promise.withResolvers<void>();
    const running = session.run(handlers(attached.resolve), ending.signal);
    await attached.promise;
    await session.release(AbortSignal.timeout(5000));
    ending.abort(new Error("shutting down"));
    await running;
    session.close();
    await expect(session.putSandbox("s1", "/run/s1")).rejects.toMatchObject({ code: 14 });
  });
});

test("a recovery that fails is tried again, and no call that waits meanwhile is blamed for it", async () => {
  await withProxy(async (session, runDir) => {
    const frames = createServer();
    const shim = new PlayedShim(join(runDir, "hypervisor.sock"));
    const ending = new AbortController();
    const recovered = Promise.withResolvers<ProxySnapshot>();
    frames.listen(join(runDir, "frames.sock"));
    shim.startVm("s1").catch(() => undefined);
    let failures = 0;
    const running = session.run(
      {
        onAttached: async (snapshot) => {
          const delivered = once(frames, "connection");
          if (snapshot.heldCalls.length > 0 && failures === 5) return recovered.resolve(snapshot);
          if (snapshot.heldCalls.length > 0) {
            failures++;
            await delivered;
          }
          throw journalFailed("the disk is full");
        },
        onEvent: () => undefined,
        onAbsent: () => undefined,
      },
      ending.signal,
    );
    expect((await recovered.promise).heldCalls).toEqual([{ sandboxId: "s1", method: "StartVM", deaths: 0 }]);
    ending.abort(new Error("shutting down"));
    await running;
    await shim.die();
    frames.close();
  });
});
