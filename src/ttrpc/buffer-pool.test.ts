import { expect, test } from "vitest";
import { BufferPool } from "./buffer-pool.ts";
import { ManualClock } from "./test-peers.ts";

const MIB = 1024 * 1024;

test("what is given back is taken again, and only once", () => {
  const pool = new BufferPool({ clock: new ManualClock() });
  const first = pool.take(MIB + 100);
  pool.give(first.subarray(0, 5));
  pool.give(first);
  const second = pool.take(MIB + 200);
  const third = pool.take(MIB + 200);
  expect(second.buffer).toBe(first.buffer);
  expect(third.buffer).not.toBe(first.buffer);
  expect([second.length, third.length]).toEqual([MIB + 200, MIB + 200]);
});

test("memory that is not the pool's is let alone", () => {
  const pool = new BufferPool({ clock: new ManualClock() });
  const foreign = Buffer.alloc(64 * 1024, 7);
  pool.give(foreign);
  expect(pool.freeBytes).toBe(0);
  expect(foreign.every((byte) => byte === 7)).toBe(true);
});

test("what is over the bound is freed at once, the oldest first, not when garbage is collected", () => {
  const pool = new BufferPool({ clock: new ManualClock(), maxFreeBytes: MIB });
  const buffers = [pool.take(MIB), pool.take(MIB)];
  const memories = buffers.map((buffer) => buffer.buffer);
  for (const buffer of buffers) pool.give(buffer);
  expect(pool.freeBytes).toBe(MIB);
  expect(memories.map((memory) => memory.byteLength)).toEqual([0, MIB]);
});

test("an idle pool gives everything back, one in use keeps it", () => {
  const clock = new ManualClock();
  const pool = new BufferPool({ clock, idleMs: 1000 });
  pool.give(pool.take(MIB));
  for (let turn = 0; turn < 3; turn++) {
    clock.advance(900);
    pool.give(pool.take(MIB));
  }
  expect(pool.freeBytes).toBe(MIB);
  clock.advance(2100);
  expect(pool.freeBytes).toBe(0);
  expect(clock.timerCount).toBe(0);
});
