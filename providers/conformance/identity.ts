import { expect, test } from "vitest";
import { OwnerTag } from "../contract.ts";
import { failure, names, never, OWNER, openFixture, quiet, vmRequest } from "./fixture.ts";
import type { MakeHarness } from "./harness.ts";

/** Long enough that a create ends before the tags are seen, short enough to wait for. */
const TAG_DELAY_MS = 300;
const LATE_ENOUGH_MS = 60_000;

/** One name is one VM, and ours is told from others'. */
export function identityTests(makeHarness: MakeHarness): void {
  test("a create that is repeated gives the same VM", async () => {
    await using fixture = await openFixture(makeHarness);
    const request = vmRequest();
    const first = await fixture.provider.create(request, quiet());
    const second = await (await fixture.another()).create(request, quiet());
    expect(second.id).toBe(first.id);
    expect(await fixture.harness.cloud.vmNames()).toEqual([request.name]);
  });

  test("two creates of one name at once give the same VM", async () => {
    await using fixture = await openFixture(makeHarness);
    const request = vmRequest();
    const other = await fixture.another();
    const [first, second] = await Promise.all([
      fixture.provider.create(request, quiet()),
      other.create(request, quiet()),
    ]);
    expect(second.id).toBe(first.id);
    expect(await fixture.harness.cloud.vmNames()).toEqual([request.name]);
  });

  test("a name that belongs to another sandbox is refused, and that VM is left alone", async () => {
    await using fixture = await openFixture(makeHarness);
    const request = vmRequest();
    const first = await fixture.provider.create(request, quiet());
    const other = { ...request, tags: { ...request.tags, [OwnerTag.Sandbox]: "f".repeat(64) } };
    const error = await failure(fixture.provider.create(other, quiet()));
    expect(error.kind).toBe("already-exists");
    const still = await fixture.provider.get({ name: request.name }, never());
    expect(still).toMatchObject({ id: first.id, lifecycle: "running" });
  });

  test("list gives all VMs of a node, however many pages the cloud makes of them, and no other's", async () => {
    await using fixture = await openFixture(makeHarness);
    const elsewhere = { clusterId: OWNER.clusterId, nodeName: "node-2" };
    const foreign = { clusterId: "cluster-b", nodeName: OWNER.nodeName };
    const mine = Array.from({ length: 5 }, () => vmRequest());
    const nodeTwo = vmRequest({ owner: elsewhere });
    const others = vmRequest({ owner: foreign });
    const onNodeTwo = await fixture.another({ owner: elsewhere });
    const inOtherCluster = await fixture.another({ owner: foreign });
    await Promise.all([
      ...mine.map((request) => fixture.provider.create(request, quiet())),
      onNodeTwo.create(nodeTwo, quiet()),
      inOtherCluster.create(others, quiet()),
    ]);
    const ours = mine.map(({ name }) => name).sort();
    const { provider } = fixture;
    expect(names(await provider.list(OWNER, never()))).toEqual(ours);
    expect(names(await provider.list({ clusterId: OWNER.clusterId }, never()))).toEqual(
      [...ours, nodeTwo.name].sort(),
    );
    const named = await provider.list(
      { ...OWNER, names: [others.name, ours[0] ?? "", "no-such-vm"] },
      never(),
    );
    expect(names(named)).toEqual([...ours, others.name].sort());
  });

  test("a list without a cluster is refused: it would mean everybody's VMs", async () => {
    await using fixture = await openFixture(makeHarness);
    await failure(fixture.provider.list({ clusterId: "" }, never()));
  });

  test("a VM whose tags are not written yet is found by its exact name", async ({ skip }) => {
    await using fixture = await openFixture(makeHarness);
    const { cloud } = fixture.harness;
    if (!cloud.delayTags) return skip("this cloud writes tags with the VM");
    await cloud.delayTags(LATE_ENOUGH_MS);
    const request = vmRequest();
    await fixture.provider.create(request, quiet());
    expect(names(await fixture.provider.list({ ...OWNER, names: [request.name] }, never()))).toEqual([
      request.name,
    ]);
    await fixture.provider.delete({ name: request.name }, never());
    expect(await cloud.vmNames()).toEqual([]);
  });

  test("a create repeated before the tags are written makes no second VM", async ({ skip }) => {
    await using fixture = await openFixture(makeHarness);
    const { cloud } = fixture.harness;
    if (!cloud.delayTags) return skip("this cloud writes tags with the VM");
    await cloud.delayTags(TAG_DELAY_MS);
    const request = vmRequest();
    const first = await fixture.provider.create(request, quiet());
    const second = await (await fixture.another()).create(request, quiet());
    expect(second.id).toBe(first.id);
    expect(await cloud.vmNames()).toEqual([request.name]);
  });
}
