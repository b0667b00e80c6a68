import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { FakeClock } from "../../../test/fakes/fake-clock.ts";
import { throttled, unauthorised, unavailable } from "../../errors/index.ts";
import { type Log, silentLog } from "../../platform/index.ts";
import { type Reconcile, ReconcileLoop } from "./reconcile-loop.ts";

function running(work: Reconcile, log: Log = silentLog) {
  const clock = new FakeClock();
  const stop = new AbortController();
  const loop = new ReconcileLoop({ clock, log }, "it", work);
  const ended = loop.run(stop.signal);
  return {
    clock,
    loop,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended;
    },
  };
}

test("runs once at the start, and again for each poke", async () => {
  let runs = 0;
  await using it = running(() => Promise.resolve(void runs++));
  await it.clock.advance(3_600_000);
  expect(runs).toBe(1);
  it.loop.poke();
  it.loop.poke();
  await it.clock.advance(0);
  expect(runs).toBe(2);
});

test("a poke while it runs makes one more run, never two at once", async () => {
  let runs = 0;
  let atOnce = 0;
  const gate = Promise.withResolvers<void>();
  await using it = running(async () => {
    runs++;
    atOnce++;
    expect(atOnce).toBe(1);
    if (runs === 1) await gate.promise;
    atOnce--;
    return undefined;
  });
  it.loop.poke();
  it.loop.poke();
  gate.resolve();
  await it.clock.advance(0);
  expect(runs).toBe(2);
});

test("runs again after the pause that the work asked for", async () => {
  let runs = 0;
  await using it = running(() => Promise.resolve(++runs < 3 ? 5000 : undefined));
  await it.clock.advance(4999);
  expect(runs).toBe(1);
  await it.clock.advance(1);
  expect(runs).toBe(2);
});

test("pauses grow while it fails, pokes do not shorten them, and each trouble is logged once", async () => {
  const lines: string[] = [];
  const log = {
    ...silentLog,
    warn: (text: string) => lines.push(text),
    info: (text: string) => lines.push(text),
  };
  let runs = 0;
  let failing = true;
  await using it = running(() => {
    runs++;
    return failing ? Promise.reject(unavailable("down")) : Promise.resolve(undefined);
  }, log);
  await it.clock.advance(0);
  expect(it.loop.trouble).toBe("down");
  for (let n = 0; n < 100; n++) it.loop.poke();
  await it.clock.advance(999);
  expect(runs).toBe(1);
  await it.clock.advance(1 + 2000 + 4000);
  expect(runs).toBe(4);
  failing = false;
  await it.clock.advance(30_000);
  expect(it.loop.trouble).toBeUndefined();
  expect(lines).toHaveLength(2);
});

test("missing rights are asked for slowly, and a server's own pause is kept", async () => {
  const errors = [unauthorised("no"), throttled("slow", { retryAfterMs: 90_000 })];
  let runs = 0;
  await using it = running(() => {
    const error = errors[runs++];
    return error === undefined ? Promise.resolve(undefined) : Promise.reject(error);
  });
  await it.clock.advance(59_999);
  expect(runs).toBe(1);
  await it.clock.advance(1);
  expect(runs).toBe(2);
  await it.clock.advance(89_999);
  expect(runs).toBe(2);
  await it.clock.advance(1);
  expect(runs).toBe(3);
});

test("leaves nothing on the signal, however often it runs", async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  const loop = new ReconcileLoop({ clock, log: silentLog }, "it", () => Promise.resolve(1000));
  const ended = loop.run(stop.signal);
  await clock.advance(10_000);
  expect(getEventListeners(stop.signal, "abort").length).toBeLessThanOrEqual(2);
  stop.abort();
  await ended;
});
