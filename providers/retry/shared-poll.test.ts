import { expect, test } from "vitest";
import { throttled, unauthorised, unavailable } from "../../src/errors/index.ts";
import { VirtualClock } from "../../test/fakes/clock/index.ts";
import { SharedPoll } from "./shared-poll.ts";

const never = new AbortController().signal;

/** Things that become "ready" at a given virtual time, and a count of the calls made. */
function world(readyAtMs: Readonly<Record<string, number>>, pages = 1) {
  const clock = new VirtualClock();
  const calls = { one: 0, all: 0 };
  const failures: Error[] = [];
  const state = (key: string): string | undefined => {
    const at = readyAtMs[key];
    return at === undefined ? undefined : clock.monotonicMs() >= at ? "ready" : "pending";
  };
  const check = (): void => {
    const error = failures.shift();
    if (error) throw error;
  };
  const source = {
    one: async (key: string) => {
      calls.one += 1;
      check();
      return state(key);
    },
    all: async () => {
      calls.all += 1;
      check();
      return new Map(Object.keys(readyAtMs).map((key) => [key, state(key) ?? ""]));
    },
    listCost: () => pages,
  };
  const poll = new SharedPoll<string>(clock, source, { intervalMs: 1000, listFrom: 3, failures: 3 });
  return { clock, calls, failures, poll };
}
const ready = (value: string | undefined): boolean => value === undefined || value === "ready";

test("one waiter is served by single reads", async () => {
  const { poll, calls } = world({ a: 2500 });
  await expect(poll.wait("a", ready, never)).resolves.toBe("ready");
  expect(calls).toEqual({ one: 3, all: 0 });
});

test("many waiters share one list a round", async () => {
  const keys = Array.from({ length: 50 }, (_, index) => `vm${index}`);
  const { poll, calls } = world(Object.fromEntries(keys.map((key) => [key, 4000])));
  await Promise.all(keys.map((key) => poll.wait(key, ready, never)));
  expect(calls).toEqual({ one: 0, all: 4 });
});

test("a list that takes more calls than single reads is not asked for", async () => {
  const readyAtMs = { a: 500, b: 500, c: 500, d: 500 };
  const { poll, calls } = world(readyAtMs, 5);
  await Promise.all(Object.keys(readyAtMs).map((key) => poll.wait(key, ready, never)));
  expect(calls).toEqual({ one: 4, all: 0 });
});

test("a cloud that asks to slow down makes nobody fail, until it has done so for five minutes", async () => {
  const { poll, failures } = world({ a: 0 });
  failures.push(...Array.from({ length: 10 }, () => throttled("429")), unavailable("once"));
  await expect(poll.wait("a", ready, never)).resolves.toBe("ready");
  failures.push(...Array.from({ length: 1000 }, () => throttled("429")));
  await expect(poll.wait("a", ready, never)).rejects.toMatchObject({ kind: "throttled" });
});

test("what is not there is told as undefined", async () => {
  const { poll } = world({});
  await expect(poll.wait("gone", ready, never)).resolves.toBeUndefined();
});

test("a failing round is repeated, a failing series is told", async () => {
  const { poll, failures } = world({ a: 0 });
  failures.push(unavailable("1"), unavailable("2"));
  await expect(poll.wait("a", ready, never)).resolves.toBe("ready");
  failures.push(unavailable("1"), unavailable("2"), unavailable("3"));
  await expect(poll.wait("a", ready, never)).rejects.toMatchObject({ kind: "unavailable" });
});

test("a refusal is told at once, and the next waiter starts afresh", async () => {
  const { poll, failures } = world({ a: 0 });
  failures.push(unauthorised("no"));
  await expect(poll.wait("a", ready, never)).rejects.toMatchObject({ kind: "unauthorised" });
  await expect(poll.wait("a", ready, never)).resolves.toBe("ready");
});

test("polling ends when nobody waits, and starts again with the next waiter", async () => {
  const { poll, calls, clock } = world({ a: 60_000, b: 0 });
  const caller = new AbortController();
  const waiting = poll.wait("a", ready, caller.signal);
  caller.abort();
  await expect(waiting).rejects.toMatchObject({ kind: "cancelled" });
  await clock.sleep(30_000);
  expect(calls.one).toBe(0);
  await expect(poll.wait("b", ready, never)).resolves.toBe("ready");
});

test("a waiter that joins while the last one leaves is served", async () => {
  const { poll } = world({ a: 60_000, b: 0 });
  const caller = new AbortController();
  const leaving = poll.wait("a", ready, caller.signal);
  caller.abort();
  const joining = poll.wait("b", ready, never);
  await expect(leaving).rejects.toMatchObject({ kind: "cancelled" });
  await expect(joining).resolves.toBe("ready");
});
