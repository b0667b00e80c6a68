import { once } from "node:events";
import { createServer, request } from "node:http";
import { expect, test, vi } from "vitest";
import { JumpClock } from "../../test/fakes/jump-clock.ts";
import { type Log, silentLog } from "../platform/index.ts";
import { MetricsServer } from "./metrics-server.ts";

interface Answer {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly text: string;
}

function ask(port: number, path: string, method = "GET"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request({ host: "127.0.0.1", port, path, method }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () =>
        resolve({
          status: response.statusCode,
          type: response.headers["content-type"],
          text: Buffer.concat(chunks).toString(),
        }),
      );
    })
      .on("error", reject)
      .end();
  });
}

/** A listener on a port of its own, which is taken while it lives. */
async function takenPort(): Promise<{ readonly port: number; free(): Promise<void> }> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    port: address.port,
    free: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** Tells when a line of that text was logged. */
function watched(text: string): { readonly log: Log; readonly said: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = (message: string): void => {
    if (message.includes(text)) resolve();
  };
  return { log: { ...silentLog, info: look, error: look }, said: promise };
}

test("GET /metrics gives the text in Prometheus' form; other paths and methods are refused", async () => {
  const taken = await takenPort();
  await taken.free();
  const { log, said } = watched("metrics are served");
  const deps = { clock: new JumpClock(), log, render: async () => "a 1\n" };
  const server = MetricsServer.start(deps, { host: "127.0.0.1", port: taken.port });
  await said;
  expect(await ask(taken.port, "/metrics?x=1")).toEqual({
    status: 200,
    type: "text/plain; version=0.0.4; charset=utf-8",
    text: "a 1\n",
  });
  expect((await ask(taken.port, "/")).status).toBe(404);
  expect((await ask(taken.port, "/metrics", "POST")).status).toBe(405);
  await server.close();
  await expect(ask(taken.port, "/metrics")).rejects.toThrow();
});

test("a failure to put them together is an answer of 500 that tells nothing of it", async () => {
  const taken = await takenPort();
  await taken.free();
  const { log, said } = watched("metrics are served");
  const render = () => Promise.reject(new Error("inside"));
  const server = MetricsServer.start(
    { clock: new JumpClock(), log, render },
    { host: "127.0.0.1", port: taken.port },
  );
  await said;
  const answer = await ask(taken.port, "/metrics");
  expect(answer.status).toBe(500);
  expect(answer.text).not.toContain("inside");
  await server.close();
});

test("an address that is taken is an error in the log, and is bound when it becomes free", async () => {
  const taken = await takenPort();
  const refused = watched("cannot be bound");
  const bound = watched("metrics are served");
  const clock = new JumpClock();
  const log: Log = { ...refused.log, info: (message) => bound.log.info(message) };
  const server = MetricsServer.start(
    { clock, log, render: async () => "a 1\n" },
    { host: "127.0.0.1", port: taken.port },
  );
  await refused.said;
  await taken.free();
  await vi.waitFor(async () => {
    await clock.jump(10_000);
    expect((await ask(taken.port, "/metrics")).text).toBe("a 1\n");
  });
  await bound.said;
  await server.close();
});
