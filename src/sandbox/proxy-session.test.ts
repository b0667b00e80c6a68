import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { silentLog, systemClock } from "../platform/index.ts";
import { runShimProxy } from "../shim-proxy/server.ts";
import { ProxySession, type ProxySessionHandlers } from "./proxy-session.ts";

async function withProxy(work: (session: ProxySession) => Promise<void>): Promise<void> {
  const runDir = mkdtempSync(join(tmpdir(), "session-"));
  const proxy = await runShimProxy(
    { runDir, hypervisorSocket: join(runDir, "hypervisor.sock") },
    { clock: systemClock, log: silentLog },
  );
  try {
    await work(
      new ProxySession(
        { clock: systemClock, log: silentLog },
        {
          controlSocket: join(runDir, "proxy.sock"),
          frameSocket: join(runDir, "frames.sock"),
          epoch: 1,
          programVersion: "test",
          waitMs: 60_000,
        },
      ),
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
