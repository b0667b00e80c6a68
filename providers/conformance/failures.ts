import { describe, expect, test } from "vitest";
import type { ErrorKind } from "../../src/errors/index.ts";
import {
  failure,
  names,
  never,
  OWNER,
  openFixture,
  quiet,
  recoverByName,
  unless,
  vmRequest,
} from "./fixture.ts";
import type { CallKind, CloudFaultKind, MakeHarness } from "./harness.ts";

const TYPED: readonly { readonly fault: CloudFaultKind; readonly kind: ErrorKind }[] = [
  { fault: "quota", kind: "quota" },
  { fault: "capacity", kind: "capacity" },
  { fault: "unauthorised", kind: "unauthorised" },
];
const RETRY_AFTER_MS = 250;
/** Timers may fire a little early by another clock. */
const CLOCK_TOLERANCE_MS = 5;

/** Whether the cloud was left alone from each throttled answer until the time it named. */
function kept(fixtureCalls: readonly { atMs: number; kind: CallKind; fault: unknown }[]): boolean {
  return fixtureCalls.every(({ atMs, fault, kind }, index) => {
    const next = fixtureCalls.slice(index + 1).find((call) => call.kind === kind);
    return fault !== "throttled" || !next || next.atMs - atMs >= RETRY_AFTER_MS - CLOCK_TOLERANCE_MS;
  });
}

/** What the cloud says becomes an error that the rest of the program can act on. */
export function failureTests(makeHarness: MakeHarness): void {
  for (const { fault, kind } of TYPED) {
    test(`a create refused with ${fault} fails with ${kind} and leaves nothing`, async () => {
      await using fixture = await openFixture(makeHarness);
      const before = await fixture.harness.cloud.resources();
      await fixture.harness.cloud.fault({ on: "create", kind: fault, count: 1000 });
      const request = vmRequest();
      const error = await failure(fixture.provider.create(request, quiet()));
      expect(error.kind).toBe(kind);
      expect(error.message).toContain(request.name);
      await fixture.provider.delete({ name: request.name }, never());
      expect(await fixture.harness.cloud.resources()).toEqual(before);
    });
  }

  test("refused credentials are found by verify, and typed in every other call", async () => {
    await using fixture = await openFixture(makeHarness);
    const { provider, harness } = fixture;
    const vm = await provider.create(vmRequest(), quiet());
    await harness.cloud.fault({ on: "any", kind: "unauthorised", count: 1000 });
    expect((await provider.verify(never())).some(({ level }) => level === "error")).toBe(true);
    expect((await failure(provider.get(vm, never()))).kind).toBe("unauthorised");
    expect((await failure(provider.list(OWNER, never()))).kind).toBe("unauthorised");
    expect((await failure(provider.delete(vm, never()))).kind).toBe("unauthorised");
    await harness.cloud.clearFaults();
    expect(names(await provider.list(OWNER, never()))).toEqual([vm.name]);
  });

  test("a cloud that cannot answer is an error, never an empty answer", async () => {
    await using fixture = await openFixture(makeHarness);
    const { provider, harness } = fixture;
    await Promise.all(Array.from({ length: 5 }, () => provider.create(vmRequest(), quiet())));
    const all = names(await provider.list(OWNER, never()));
    for (const skip of [0, 1, 2]) {
      await harness.cloud.fault({ on: "read", kind: "unavailable", skip });
      const listed = await unless(provider.list(OWNER, never()), "unavailable");
      if (listed) expect(names(listed)).toEqual(all);
      await harness.cloud.clearFaults();
    }
    await harness.cloud.fault({ on: "read", kind: "unavailable" });
    const found = await unless(provider.get({ name: all[0] ?? "" }, never()).then(Boolean), "unavailable");
    expect(found).not.toBe(false);
  });

  test("a create that meets an outage comes through or says unavailable, and can be repeated", async () => {
    await using fixture = await openFixture(makeHarness);
    const request = vmRequest();
    await fixture.harness.cloud.fault({ on: "create", kind: "unavailable" });
    await unless(fixture.provider.create(request, quiet()), "unavailable");
    await fixture.provider.create(request, quiet());
    expect(await fixture.harness.cloud.vmNames()).toEqual([request.name]);
  });

  test("a VM that does not come up is an error that names it, and it can be deleted", async () => {
    await using fixture = await openFixture(makeHarness);
    const before = await fixture.harness.cloud.resources();
    await fixture.harness.cloud.failNextBoot();
    const request = vmRequest();
    const error = await failure(fixture.provider.create(request, quiet()));
    expect(error.message).toContain(request.name);
    await fixture.provider.delete({ name: request.name }, never());
    expect(await fixture.harness.cloud.resources()).toEqual(before);
  });

  describe("throttled", () => throttleTests(makeHarness));
  describe("lost answers", () => lostAnswerTests(makeHarness));
}

function throttleTests(makeHarness: MakeHarness): void {
  test("a throttled create says how long to wait, or waits that long", async ({ skip }) => {
    await using fixture = await openFixture(makeHarness);
    if (fixture.harness.cloud.lacks?.includes("throttled")) return skip("this cloud never throttles");
    const { cloud } = fixture.harness;
    await cloud.fault({ on: "create", kind: "throttled", retryAfterMs: RETRY_AFTER_MS });
    const request = vmRequest();
    const error = await fixture.provider.create(request, quiet()).then(
      () => undefined,
      (reason: unknown) => failure(Promise.reject(reason)),
    );
    if (error) expect(error).toMatchObject({ kind: "throttled", retryAfterMs: RETRY_AFTER_MS });
    expect(kept(cloud.calls())).toBe(true);
    await fixture.provider.create(request, quiet());
    expect(await cloud.vmNames()).toEqual([request.name]);
  });

  test("a wait that is throttled goes on after the time that the cloud named", async ({ skip }) => {
    await using fixture = await openFixture(makeHarness);
    if (fixture.harness.cloud.lacks?.includes("throttled")) return skip("this cloud never throttles");
    const { cloud } = fixture.harness;
    for (const skip of [0, 1]) {
      const request = vmRequest();
      await cloud.fault({ on: "read", kind: "throttled", retryAfterMs: RETRY_AFTER_MS, skip });
      await unless(fixture.provider.create(request, quiet()), "throttled");
      await cloud.clearFaults();
      await fixture.provider.create(request, quiet());
      await fixture.provider.delete({ name: request.name }, never());
    }
    const vm = await fixture.provider.create(vmRequest(), quiet());
    await cloud.fault({ on: "delete", kind: "throttled", retryAfterMs: RETRY_AFTER_MS });
    const deleted = fixture.provider.delete(vm, never()).then(() => true);
    if (!(await unless(deleted, "throttled"))) await fixture.provider.delete(vm, never());
    expect(kept(cloud.calls())).toBe(true);
    expect(await cloud.vmNames()).toEqual([]);
  });
}

/** Answers lost one after another are enough; a provider makes at most a few calls before it waits. */
const LOST_UP_TO = 4;

function lostAnswerTests(makeHarness: MakeHarness): void {
  for (let skip = 0; skip < LOST_UP_TO; skip += 1) {
    test(`a create that loses answer ${skip + 1} makes one VM, which a repeated create gets`, async () => {
      await using fixture = await openFixture(makeHarness);
      const request = vmRequest();
      await fixture.harness.cloud.fault({ on: "any", kind: "lost", skip });
      await unless(fixture.provider.create(request, quiet()), "unavailable");
      await fixture.harness.cloud.clearFaults();
      const vm = await fixture.provider.create(request, quiet());
      expect(vm.lifecycle).toBe("running");
      expect(await fixture.harness.cloud.vmNames()).toEqual([request.name]);
      await recoverByName(fixture, request.name);
    });

    test(`a delete that loses answer ${skip + 1} has deleted, or can be repeated`, async () => {
      await using fixture = await openFixture(makeHarness);
      const before = await fixture.harness.cloud.resources();
      const vm = await fixture.provider.create(vmRequest(), quiet());
      await fixture.harness.cloud.fault({ on: "any", kind: "lost", skip });
      await unless(fixture.provider.delete(vm, never()), "unavailable");
      await fixture.harness.cloud.clearFaults();
      await fixture.provider.delete(vm, never());
      expect(await fixture.harness.cloud.resources()).toEqual(before);
    });
  }
}
