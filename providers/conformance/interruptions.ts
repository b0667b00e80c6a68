import { expect, test } from "vitest";
import { type Fixture, failure, never, openFixture, quiet, recoverByName, vmRequest } from "./fixture.ts";
import type { MakeHarness } from "./harness.ts";

/** A provider that makes more calls than this for one create is not tried further. */
const MOST_CALLS = 40;
const MOMENTS = ["before", "after"] as const;
type Moment = (typeof MOMENTS)[number];

/** Tries `attempt` for call 0, 1, 2 ... until it says that there was no such call. */
async function atEveryCall(attempt: (number: number) => Promise<boolean>): Promise<number> {
  for (let number = 0; number < MOST_CALLS; number += 1) if (!(await attempt(number))) return number;
  return MOST_CALLS;
}

/** Runs `work`, and aborts its signal at a call's moment. Whether there was such a call. */
async function cutShort(
  fixture: Fixture,
  call: { readonly number: number; readonly moment: Moment },
  work: (signal: AbortSignal) => Promise<unknown>,
): Promise<boolean> {
  const { cloud } = fixture.harness;
  const controller = new AbortController();
  cloud.intercept(call, async () => {
    controller.abort(new Error("the test has given up"));
    // Given up before anything was done: nothing is done. (A call that is carried out later is what `after` and lost answers show.)
    return call.moment === "before" ? "drop" : "go";
  });
  const outcome = work(controller.signal).then(
    () => "done",
    async (reason: unknown) => (await failure(Promise.reject(reason))).kind,
  );
  const ended = await outcome;
  cloud.intercept(undefined, async () => "go");
  expect(ended).toBe(controller.signal.aborted && ended !== "done" ? "cancelled" : "done");
  return controller.signal.aborted;
}

/** Runs `work` and leaves it for dead at a call's moment, as kill -9 would. Whether there was such a call. */
async function crash(
  fixture: Fixture,
  call: { readonly number: number; readonly moment: Moment },
  work: (signal: AbortSignal) => Promise<unknown>,
): Promise<{ readonly crashed: boolean; readonly bury: () => Promise<void> }> {
  const { cloud } = fixture.harness;
  const burial = Promise.withResolvers<"drop">();
  const reached = Promise.withResolvers<boolean>();
  cloud.intercept(call, () => {
    reached.resolve(true);
    return burial.promise;
  });
  const controller = new AbortController();
  const outcome = work(controller.signal).then(
    () => reached.resolve(false),
    (reason: unknown) => reached.reject(reason),
  );
  const crashed = await reached.promise;
  cloud.intercept(undefined, async () => "go");
  return {
    crashed,
    // Only after the recovery was looked at does the dead one's call end.
    async bury() {
      controller.abort(new Error("the test has ended"));
      burial.resolve("drop");
      await outcome;
    },
  };
}

/** Given up, or killed, at every moment: the journaled name is enough to find and delete all that was made. */
export function interruptionTests(makeHarness: MakeHarness): void {
  test("a signal that has aborted already makes every call end as cancelled, with nothing made", async () => {
    await using fixture = await openFixture(makeHarness);
    const { provider } = fixture;
    const signal = AbortSignal.abort(new Error("too late"));
    const request = vmRequest();
    expect((await failure(provider.create(request, quiet(signal)))).kind).toBe("cancelled");
    expect((await failure(provider.get(request, signal))).kind).toBe("cancelled");
    expect((await failure(provider.delete({ name: request.name }, signal))).kind).toBe("cancelled");
    expect((await failure(provider.list({ clusterId: "cluster-a" }, signal))).kind).toBe("cancelled");
    expect((await failure(provider.verify(signal))).kind).toBe("cancelled");
    expect(await fixture.harness.cloud.vmNames()).toEqual([]);
  });

  test("a call that is never answered ends when its caller gives up", async () => {
    await using fixture = await openFixture(makeHarness);
    await fixture.harness.cloud.fault({ on: "any", kind: "hang", count: 1000 });
    const controller = new AbortController();
    const created = failure(fixture.provider.create(vmRequest(), quiet(controller.signal)));
    controller.abort(new Error("enough"));
    expect((await created).kind).toBe("cancelled");
  });

  for (const moment of MOMENTS) {
    test(`a create given up ${moment} any of its calls can be undone by name`, async () => {
      await using fixture = await openFixture(makeHarness);
      const before = await fixture.harness.cloud.resources();
      const calls = await atEveryCall(async (number) => {
        const request = vmRequest();
        const cut = await cutShort(fixture, { number, moment }, (signal) =>
          fixture.provider.create(request, quiet(signal)),
        );
        await recoverByName(fixture, request.name);
        expect(await fixture.harness.cloud.resources()).toEqual(before);
        return cut;
      });
      expect(calls).toBeGreaterThan(0);
    });

    test(`a process killed ${moment} any call of a create leaves nothing that its successor does not find`, async () => {
      await using fixture = await openFixture(makeHarness);
      const before = await fixture.harness.cloud.resources();
      await atEveryCall(async (number) => {
        const request = vmRequest();
        const dying = await fixture.another();
        const { crashed, bury } = await crash(fixture, { number, moment }, (signal) =>
          dying.create(request, quiet(signal)),
        );
        await recoverByName(fixture, request.name);
        await bury();
        expect(await fixture.harness.cloud.resources()).toEqual(before);
        return crashed;
      });
    });

    test(`a delete given up ${moment} any of its calls is finished by the next one`, async () => {
      await using fixture = await openFixture(makeHarness);
      const before = await fixture.harness.cloud.resources();
      await atEveryCall(async (number) => {
        const vm = await fixture.provider.create(vmRequest(), quiet());
        const cut = await cutShort(fixture, { number, moment }, (signal) =>
          fixture.provider.delete(vm, signal),
        );
        await (await fixture.another()).delete({ name: vm.name }, never());
        expect(await fixture.harness.cloud.resources()).toEqual(before);
        return cut;
      });
    });
  }
}
