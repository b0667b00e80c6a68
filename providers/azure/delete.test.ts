import { describe, expect, test } from "vitest";
import { FakeAccount } from "../../test/fakes/azure/index.ts";
import { never, quiet, testRequest } from "./testing.ts";

const REQUEST = testRequest();
const NAME = REQUEST.name;
const OTHER = testRequest({ name: "podvm-other-00000001" });

describe("what is left behind", () => {
  test.each([
    { forget: ["nic"] as const },
    { forget: ["disk"] as const },
    { forget: ["nic", "publicIp"] as const },
    { forget: ["nic", "disk", "publicIp"] as const },
  ])("a delete that forgets $forget is finished by us", async ({ forget }) => {
    const account = new FakeAccount({ forget });
    const provider = await account.provider({ publicIp: true });
    await provider.create(REQUEST, quiet());
    await provider.create(OTHER, quiet());
    await provider.delete({ name: NAME }, never());
    expect(account.azure.resources().filter((one) => !one.includes(OTHER.name))).toEqual([]);
    expect(account.azure.resources()).toHaveLength(4);
  });

  test("an interface that stays reserved for three minutes after a failed start is fought for", async () => {
    const account = new FakeAccount({ bootFailures: 1, forget: ["nic"] });
    const provider = await account.provider();
    await expect(provider.create(REQUEST, quiet())).rejects.toMatchObject({ kind: "deadline" });
    await provider.delete({ name: NAME }, never());
    expect(account.azure.resources()).toEqual([]);
  });

  test("what resists for longer is left to the next delete, with an error that names it", async () => {
    const account = new FakeAccount({ forget: ["disk"] });
    const provider = await account.provider();
    await provider.create(REQUEST, quiet());
    const onDisk = (request: { method: string; url: URL }): boolean =>
      request.method === "DELETE" && request.url.pathname.includes("/disks/");
    account.azure.fault({
      on: onDisk,
      kind: 409,
      code: "OperationNotAllowed",
      message: "in use",
      count: 1000,
    });
    await expect(provider.delete({ name: NAME }, never())).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining(`disk ${NAME}-disk`),
    });
    account.azure.clearFaults();
    await provider.delete({ name: NAME }, never());
    expect(account.azure.resources()).toEqual([]);
  });

  test("lists that lag behind do not end a delete early, nor find what is gone", async () => {
    const account = new FakeAccount({ listLagMs: 20_000, forget: ["nic"] });
    const provider = await account.provider();
    await provider.create(REQUEST, quiet());
    await account.clock.sleep(60_000);
    await provider.delete({ name: NAME }, never());
    expect(account.azure.resources()).toEqual([]);
  });

  test("a VM whose name begins with ours keeps its own", async () => {
    const account = new FakeAccount({ forget: ["nic", "disk"] });
    const provider = await account.provider();
    const longer = testRequest({ name: `${NAME}-net-1` });
    await provider.create(REQUEST, quiet());
    await provider.create(longer, quiet());
    await provider.delete({ name: NAME }, never());
    const left = account.azure.resources();
    expect(left).toEqual([`disk ${longer.name}-disk`, `nic ${longer.name}-net`, `vm ${longer.name}`]);
  });

  test("what carries another cluster's tag is not touched, whatever its name", async () => {
    const account = new FakeAccount({ forget: ["nic"] });
    const foreign = await account.provider({}, { clusterId: "cluster-b", nodeName: "node-1" });
    const tags = { ...REQUEST.tags, "peerpods-cluster": "cluster-b" };
    await foreign.create(testRequest({ tags }), quiet());
    account.azure.vanish(NAME);
    const ours = await account.provider();
    await ours.delete({ name: NAME }, never());
    expect(account.azure.resources()).toEqual([`nic ${NAME}-net`]);
  });
});

describe("a create call that arrives after we gave up", () => {
  test("is met by the delete of the same process", async () => {
    const account = new FakeAccount();
    const provider = await account.provider();
    account.azure.fault({ on: "create", kind: "late" });
    const caller = new AbortController();
    account.azure.fault({
      on: (request) => {
        if (request.url.pathname.endsWith(NAME)) caller.abort(new Error("enough"));
        return false;
      },
      kind: 500,
    });
    await expect(provider.create(REQUEST, quiet(caller.signal))).rejects.toMatchObject({ kind: "cancelled" });
    await provider.delete({ name: NAME }, never());
    await account.clock.sleep(120_000);
    expect(account.azure.resources()).toEqual([]);
  });

  test("is found by list and deleted by a later process", async () => {
    const account = new FakeAccount();
    account.azure.fault({ on: "create", kind: "late", count: 3 });
    const dying = await account.provider();
    await expect(dying.create(REQUEST, quiet())).rejects.toMatchObject({ kind: "unavailable" });
    await account.clock.sleep(120_000);
    const successor = await account.provider();
    const found = await successor.list({ clusterId: "cluster-a" }, never());
    expect(found.map((vm) => vm.name)).toEqual([NAME]);
    await successor.delete(found[0] ?? { name: "" }, never());
    expect(account.azure.resources()).toEqual([]);
  });
});

describe("references", () => {
  test("an id in other letters, or none that is one, finds the VM", async () => {
    const account = new FakeAccount();
    const provider = await account.provider();
    const vm = await provider.create(REQUEST, quiet());
    expect(await provider.get({ id: vm.id.toUpperCase(), name: NAME }, never())).toBeDefined();
    await provider.delete({ id: "nonsense", name: NAME }, never());
    expect(account.azure.resources()).toEqual([]);
  });

  test("an id in another subscription is refused: this identity could not know that it is gone", async () => {
    const account = new FakeAccount();
    const provider = await account.provider();
    const id = "/subscriptions/other/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/a";
    await expect(provider.delete({ id, name: "a" }, never())).rejects.toMatchObject({
      kind: "invalid-request",
    });
  });

  test("where the resource group is gone there is nothing to delete, and nothing found", async () => {
    const account = new FakeAccount();
    const provider = await account.provider({ resourceGroup: "no-such-group" });
    await provider.delete({ name: NAME }, never());
    expect(await provider.get({ name: NAME }, never())).toBeUndefined();
  });
});

describe("list", () => {
  test("shows what a vanished VM left behind as a failed one, and no VM twice", async () => {
    const account = new FakeAccount({ forget: ["nic", "disk"] });
    const provider = await account.provider();
    await provider.create(REQUEST, quiet());
    await provider.create(OTHER, quiet());
    account.azure.vanish(NAME);
    const found = await provider.list({ clusterId: "cluster-a", nodeName: "node-1" }, never());
    expect(Object.fromEntries(found.map((vm) => [vm.name, vm.lifecycle]))).toEqual({
      [OTHER.name]: "running",
      [NAME]: "failed",
    });
    expect(found).toHaveLength(2);
    expect(found.find((vm) => vm.name === NAME)?.detail).toMatch(/does not exist, but its/);
    expect(await provider.list({ clusterId: "cluster-b" }, never())).toEqual([]);
  });

  test("a VM that the lagging list of VMs does not show yet is not taken for remains", async () => {
    const account = new FakeAccount();
    const provider = await account.provider();
    await provider.create(REQUEST, quiet());
    const { vms } = account.azure.world;
    const vm = vms.get(NAME);
    Object.assign(account.azure.world.settings, { listLagMs: 60_000 });
    if (vm) vms.put(vm);
    const found = await provider.list({ clusterId: "cluster-a" }, never());
    expect(found.map((one) => [one.name, one.lifecycle])).toEqual([[NAME, "running"]]);
  });
});

describe("many pods at once", () => {
  test("share their polling, and stay below Azure's limits", async () => {
    const account = new FakeAccount({ throttle: true, pageSize: 50 });
    const provider = await account.provider();
    const names = Array.from({ length: 30 }, (_, n) => `podvm-many-${`${n}`.padStart(8, "0")}`);
    await Promise.all(names.map((name) => provider.create(testRequest({ name }), quiet())));
    const creating = account.azure.calls.length;
    await Promise.all(names.map((name) => provider.delete({ name }, never())));
    expect(account.azure.resources()).toEqual([]);
    expect(account.azure.throttled).toBe(0);
    // PUT, state of the operation, the VM at its end, the interface; and lists, which all share.
    expect(creating / names.length).toBeLessThan(5);
    expect((account.azure.calls.length - creating) / names.length).toBeLessThan(4);
  });

  test("one that is throttled holds all of them back", async () => {
    const account = new FakeAccount();
    const provider = await account.provider();
    await provider.create(testRequest({ name: "podvm-warm-00000000" }), quiet());
    account.azure.fault({ on: "create", kind: 429, retryAfterMs: 20_000 });
    const from = account.azure.calls.length;
    await Promise.all(
      ["a", "b", "c"].map((one) => provider.create(testRequest({ name: `podvm-${one}-00000000` }), quiet())),
    );
    const creates = account.azure.calls.slice(from).filter((call) => call.kind === "create");
    const [first, ...rest] = creates.map((call) => call.atMs);
    const after = rest.filter((atMs) => atMs > (first ?? 0));
    expect(after.every((atMs) => atMs - (first ?? 0) >= 20_000)).toBe(true);
    expect(creates).toHaveLength(4);
  });
});

describe("tokens", () => {
  test("one that Azure refuses is replaced once, and the call goes on", async () => {
    const account = new FakeAccount();
    const provider = await account.provider();
    await provider.create(REQUEST, quiet());
    account.azure.revokeTokens();
    expect(await provider.get({ name: NAME }, never())).toBeDefined();
  });

  test("one that ends during a long wait is replaced in time", async () => {
    const account = new FakeAccount({ createMs: 50 * 60_000 });
    const provider = await account.provider({ createTimeoutMs: 2 * 3_600_000 });
    await account.clock.sleep(30 * 60_000);
    await provider.create(REQUEST, quiet());
    await account.clock.sleep(3 * 3_600_000);
    await provider.delete({ name: NAME }, never());
    expect(account.azure.resources()).toEqual([]);
  });
});

test("the quota says how many more VMs of the default size fit", async () => {
  const account = new FakeAccount({ quotas: { standardDCASv5Family: { limit: 20, used: 11 } } });
  const provider = await account.provider();
  expect(await provider.quota?.(never())).toBe(4);
  await provider.create(REQUEST, quiet());
  expect(await provider.quota?.(never())).toBe(3);
});

describe("verify", () => {
  const reported = async (over: Parameters<FakeAccount["provider"]>[0]): Promise<readonly string[]> => {
    const account = new FakeAccount({ quotas: { standardDCASv5Family: { limit: 1, used: 0 } } });
    const provider = await account.provider(over);
    const findings = await provider.verify(never());
    return findings
      .filter((one) => one.level !== "ok")
      .map((one) => `${one.level} ${one.check}: ${one.text}`);
  };

  test("names what is missing: subnet, image, size, group", async () => {
    const base = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups";
    const found = await reported({
      subnetId: `${base}/net/providers/Microsoft.Network/virtualNetworks/vnet/subnets/nowhere`,
      imageId: `${base}/images/providers/Microsoft.Compute/galleries/peerpods/images/podvm/versions/9.9.9`,
      defaultSize: "Standard_No_v9",
      allowedSizes: ["Standard_D2s_v5"],
      zones: ["9"],
      resourceGroup: "nowhere",
    });
    for (const part of [
      /error subnet: .*no such resource/,
      /error image: /,
      /error sizes: Standard_No_v9 is not offered/,
      /error resource group: /,
      /warning sizes: Standard_D2s_v5 is not offered in zone 9/,
      /warning sizes: the default Standard_No_v9 is not in AZURE_INSTANCE_SIZES/,
    ]) {
      expect(found.join("\n")).toMatch(part);
    }
  });

  test("warns of sizes that Azure does not list as confidential, and of a used-up quota", async () => {
    const found = await reported({ allowedSizes: ["Standard_DC2as_v5", "Standard_D2s_v5"] });
    expect(found).toEqual([
      expect.stringMatching(/^warning sizes: Azure does not list Standard_D2s_v5 as a confidential size/),
      expect.stringMatching(/^warning quota: room for 0 more VMs/),
    ]);
  });

  test.each([
    "/CommunityGalleries/cocopodvm-1/Images/podvm/Versions/0.22.0",
    "/CommunityGalleries/cocopodvm-1/Images/podvm",
    "/SharedGalleries/shared-1/Images/podvm/Versions/0.22.0",
    "canonical:ubuntu-24_04-lts:cvm:latest",
  ])("finds the image %s", async (imageId) => {
    const account = new FakeAccount();
    const provider = await account.provider({ imageId });
    const findings = await provider.verify(never());
    expect(findings.filter((one) => one.check === "image").map((one) => one.level)).toEqual(["ok"]);
    await provider.create(REQUEST, quiet());
  });
});
