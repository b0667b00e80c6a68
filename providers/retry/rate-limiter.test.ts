import { expect, test } from "vitest";
import { VirtualClock } from "../../test/fakes/clock/index.ts";
import { RateLimiter } from "./rate-limiter.ts";

const never = new AbortController().signal;

/** When each of `count` calls made at once got through, milliseconds from now. */
async function times(limiter: RateLimiter, clock: VirtualClock, count: number): Promise<number[]> {
  const startMs = clock.monotonicMs();
  return await Promise.all(
    Array.from({ length: count }, async () => {
      await limiter.acquire(never);
      return clock.monotonicMs() - startMs;
    }),
  );
}

test("a burst goes through at once and the rest one by one", async () => {
  const clock = new VirtualClock();
  const limiter = new RateLimiter(clock, { perSecond: 10, burst: 3 });
  expect(await times(limiter, clock, 6)).toEqual([0, 0, 0, 100, 200, 300]);
});

test("a quiet time fills the bucket again, but no further than the burst", async () => {
  const clock = new VirtualClock();
  const limiter = new RateLimiter(clock, { perSecond: 10, burst: 2 });
  await times(limiter, clock, 4);
  await clock.sleep(60_000);
  expect(await times(limiter, clock, 4)).toEqual([0, 0, 100, 200]);
});

test("when the cloud asks for a pause everyone waits, and then they go one by one", async () => {
  const clock = new VirtualClock();
  const limiter = new RateLimiter(clock, { perSecond: 10, burst: 3 });
  limiter.holdOff(5000);
  expect(await times(limiter, clock, 3)).toEqual([5000, 5100, 5200]);
});

test("a pause asked for later holds those who are waiting already", async () => {
  const clock = new VirtualClock();
  const limiter = new RateLimiter(clock, { perSecond: 1, burst: 1 });
  const waiting = times(limiter, clock, 2);
  limiter.holdOff(10_000);
  expect(await waiting).toEqual([0, 10_000]);
});

test("a caller that gives up does not use its turn", async () => {
  const clock = new VirtualClock();
  const limiter = new RateLimiter(clock, { perSecond: 10, burst: 1 });
  const caller = new AbortController();
  await limiter.acquire(never);
  const given = limiter.acquire(caller.signal);
  caller.abort();
  await expect(given).rejects.toMatchObject({ kind: "cancelled" });
  expect(await times(limiter, clock, 1)).toEqual([100]);
});
