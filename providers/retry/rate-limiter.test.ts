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

/** The times between calls, rounded: the rate recovers all the while. */
const gaps = (at: readonly number[]): number[] =>
  at.slice(1).map((ms, n) => Math.round((ms - (at[n] ?? 0)) / 50) * 50);

test("when the cloud asks for a pause everyone waits, and then they go one by one at half the rate", async () => {
  const clock = new VirtualClock();
  const limiter = new RateLimiter(clock, { perSecond: 10, burst: 3 });
  limiter.holdOff(5000);
  const at = await times(limiter, clock, 3);
  expect(at[0]).toBe(5000);
  expect(gaps(at)).toEqual([200, 200]);
});

test("calls that were told the same thing together halve the rate once, a later refusal again", async () => {
  const clock = new VirtualClock();
  const limiter = new RateLimiter(clock, { perSecond: 10, burst: 1 });
  limiter.holdOff(1000);
  limiter.holdOff(1500);
  limiter.holdOff(1000);
  expect(gaps(await times(limiter, clock, 3))).toEqual([200, 200]);
  limiter.holdOff(1000);
  expect(gaps(await times(limiter, clock, 3))).toEqual([400, 400]);
});

test("the rate comes back while nobody is refused", async () => {
  const clock = new VirtualClock();
  const limiter = new RateLimiter(clock, { perSecond: 10, burst: 1 });
  for (let n = 0; n < 20; n++) {
    limiter.holdOff(1000);
    await clock.sleep(1000);
  }
  expect(gaps(await times(limiter, clock, 2))[0]).toBeGreaterThan(1000);
  await clock.sleep(600_000);
  expect(gaps(await times(limiter, clock, 3))).toEqual([100, 100]);
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
