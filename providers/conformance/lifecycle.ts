import { expect, test } from "vitest";
import { isCaaError } from "../../src/errors/index.ts";
import { Secret } from "../../src/platform/index.ts";
import { OwnerTag } from "../contract.ts";
import { failure, never, OWNER, openFixture, quiet, vmRequest } from "./fixture.ts";
import type { MakeHarness } from "./harness.ts";

const IPV4 = /^\d{1,3}(\.\d{1,3}){3}$/;

/** A VM's life without trouble. */
export function lifecycleTests(makeHarness: MakeHarness): void {
  test("verify finds nothing wrong with a sound account", async () => {
    await using fixture = await openFixture(makeHarness);
    const findings = await fixture.provider.verify(never());
    expect(findings.filter(({ level }) => level === "error")).toEqual([]);
    expect(findings).not.toEqual([]);
  });

  test("create gives a running VM with an address, and tells its id before", async () => {
    await using fixture = await openFixture(makeHarness);
    const request = vmRequest();
    const ids: string[] = [];
    const vm = await fixture.provider.create(request, { ...quiet(), onId: (id) => ids.push(id) });
    expect(vm).toMatchObject({ name: request.name, lifecycle: "running" });
    expect(vm.addresses[0]).toMatch(IPV4);
    expect(new Set(ids)).toEqual(new Set([vm.id]));
    expect(await fixture.harness.cloud.vmNames()).toEqual([request.name]);
  });

  test("a VM carries the tags that were asked for", async () => {
    await using fixture = await openFixture(makeHarness);
    const request = vmRequest();
    await fixture.provider.create(request, quiet());
    const found = await fixture.provider.get({ name: request.name }, never());
    expect(found?.tags).toMatchObject(request.tags);
  });

  test("tags that the operator configured are added and never override the owner's", async () => {
    await using fixture = await openFixture(makeHarness);
    const evil = Object.fromEntries(Object.values(OwnerTag).map((key) => [key, "somebody-else"]));
    const provider = await fixture.another({ userTags: { team: "blue", ...evil } });
    const request = vmRequest();
    await provider.create(request, quiet());
    const found = await provider.get({ name: request.name }, never());
    expect(found?.tags).toMatchObject({ ...request.tags, team: "blue" });
  });

  test("get finds a VM by id, by exact name, and nothing for another name", async () => {
    await using fixture = await openFixture(makeHarness);
    const request = vmRequest();
    const vm = await fixture.provider.create(request, quiet());
    expect((await fixture.provider.get({ id: vm.id, name: vm.name }, never()))?.id).toBe(vm.id);
    expect((await fixture.provider.get({ name: vm.name }, never()))?.id).toBe(vm.id);
    expect(await fixture.provider.get({ name: vm.name.slice(0, -1) }, never())).toBeUndefined();
  });

  test("delete leaves nothing of what was made with the VM, and may be repeated", async () => {
    await using fixture = await openFixture(makeHarness);
    const before = await fixture.harness.cloud.resources();
    const vm = await fixture.provider.create(vmRequest({ externalNetworkInterface: true }), quiet());
    expect((await fixture.harness.cloud.resources()).length).toBeGreaterThan(before.length);
    await fixture.provider.delete({ id: vm.id, name: vm.name }, never());
    expect(await fixture.harness.cloud.resources()).toEqual(before);
    await fixture.provider.delete({ id: vm.id, name: vm.name }, never());
    expect(await fixture.provider.get({ id: vm.id, name: vm.name }, never())).toBeUndefined();
  });

  test("delete needs no more than the name, also in a new process", async () => {
    await using fixture = await openFixture(makeHarness);
    const before = await fixture.harness.cloud.resources();
    const vm = await fixture.provider.create(vmRequest(), quiet());
    await (await fixture.another()).delete({ name: vm.name }, never());
    expect(await fixture.harness.cloud.resources()).toEqual(before);
  });

  test("deleting a name that never was succeeds", async () => {
    await using fixture = await openFixture(makeHarness);
    await fixture.provider.delete({ name: "podvm-never-was-00000000" }, never());
  });

  test("two deletes at once both succeed", async () => {
    await using fixture = await openFixture(makeHarness);
    const { id, name } = await fixture.provider.create(vmRequest(), quiet());
    const other = await fixture.another();
    await Promise.all([fixture.provider.delete({ id, name }, never()), other.delete({ name }, never())]);
    expect(await fixture.harness.cloud.vmNames()).toEqual([]);
  });

  test("a VM that somebody else deleted is not found, and deleting it succeeds", async () => {
    await using fixture = await openFixture(makeHarness);
    const { id, name } = await fixture.provider.create(vmRequest(), quiet());
    await fixture.harness.cloud.vanish(name);
    expect(await fixture.provider.get({ id, name }, never())).toBeUndefined();
    await fixture.provider.delete({ id, name }, never());
    expect(await fixture.provider.list({ clusterId: OWNER.clusterId }, never())).toEqual([]);
  });

  test("a VM with a tunnel interface of its own has two addresses", async () => {
    await using fixture = await openFixture(makeHarness);
    const vm = await fixture.provider.create(vmRequest({ dedicatedTunnelInterface: true }), quiet());
    expect(vm.addresses.length).toBeGreaterThanOrEqual(2);
    expect(new Set(vm.addresses).size).toBe(vm.addresses.length);
  });
}

/** What providers may offer beyond the necessary. */
export function optionalTests(makeHarness: MakeHarness): void {
  test("user data over the limit is refused before anything is made", async () => {
    await using fixture = await openFixture(makeHarness);
    const userData = new Secret("x".repeat(fixture.provider.limits.userDataBytes + 1));
    const error = await failure(fixture.provider.create(vmRequest({ userData }), quiet()));
    expect(isCaaError(error, "too-large", "invalid-request")).toBe(true);
    expect(await fixture.harness.cloud.vmNames()).toEqual([]);
  });

  test("user data of exactly the limit is accepted", async () => {
    await using fixture = await openFixture(makeHarness);
    const userData = new Secret("x".repeat(fixture.provider.limits.userDataBytes));
    await fixture.provider.create(vmRequest({ userData }), quiet());
  });

  test("console, quota and new user data, where there are any, work on a running VM and name what is gone", async () => {
    await using fixture = await openFixture(makeHarness);
    const { provider } = fixture;
    const vm = await provider.create(vmRequest(), quiet());
    if (provider.console) expect(typeof (await provider.console(vm, never()))).toBe("string");
    if (provider.quota) expect((await provider.quota(never())) ?? 0).toBeGreaterThanOrEqual(0);
    const userData = new Secret("#cloud-config\n");
    if (provider.updateUserData) await provider.updateUserData(vm, userData, never());
    await provider.delete(vm, never());
    if (provider.console) expect((await failure(provider.console(vm, never()))).kind).toBe("gone");
    if (provider.updateUserData)
      expect((await failure(provider.updateUserData(vm, userData, never()))).kind).toBe("gone");
  });
}
