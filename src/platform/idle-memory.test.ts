import { expect, test } from "vitest";
import { FakeClock } from "../../test/fakes/fake-clock.ts";
import { collectWhenIdle, type IdleMemory } from "./idle-memory.ts";

const MIB = 1024 * 1024;

/** A process of 50 MiB, of which a collection frees all but 40. */
class FakeProcess implements IdleMemory {
  cpu = 0;
  bytes = 50 * MIB;
  collections = 0;

  cpuMs(): number {
    return this.cpu;
  }

  residentBytes(): number {
    return this.bytes;
  }

  collect(): void {
    this.collections++;
    this.bytes = 40 * MIB;
  }
}

async function started() {
  const clock = new FakeClock();
  const memory = new FakeProcess();
  const end = collectWhenIdle(clock, memory);
  return { clock, memory, end, pass: () => clock.advance(5000) };
}

test("what a start has left is collected once there is nothing to do", async () => {
  const { memory, pass } = await started();
  memory.cpu = 200;
  await pass();
  expect(memory.collections).toBe(0);
  memory.cpu = 220;
  await pass();
  expect(memory.collections).toBe(1);
});

test("an idle process that has not grown is let alone; one that has is collected again", async () => {
  const { memory, pass } = await started();
  await pass();
  memory.bytes = 47 * MIB;
  for (let n = 0; n < 100; n++) await pass();
  expect(memory.collections).toBe(1);
  memory.bytes = 49 * MIB;
  await pass();
  expect(memory.collections).toBe(2);
});

test("a busy process is never held up", async () => {
  const { memory, pass } = await started();
  for (let n = 0; n < 100; n++) {
    memory.cpu += 150;
    memory.bytes += MIB;
    await pass();
  }
  expect(memory.collections).toBe(0);
});

test("nothing is looked at after the end", async () => {
  const { clock, memory, end, pass } = await started();
  end();
  await pass();
  expect([memory.collections, clock.waiting]).toEqual([0, 0]);
});

test("this process's own garbage is collected, and programs cannot ask for it", async () => {
  const clock = new FakeClock();
  let garbage: WeakRef<object> | undefined = new WeakRef({});
  const idle = Promise.withResolvers<void>();
  collectWhenIdle(clock);
  setImmediate(() => idle.resolve());
  await idle.promise; // A WeakRef holds its object for the turn that made it.
  await clock.advance(5000);
  for (let n = 0; n < 100 && garbage.deref() !== undefined; n++) await clock.advance(5000);
  expect(garbage.deref()).toBeUndefined();
  garbage = undefined;
  expect("gc" in globalThis).toBe(false);
});
