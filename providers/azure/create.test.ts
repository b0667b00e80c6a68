import { describe, expect, test } from "vitest";
import { Secret } from "../../src/platform/index.ts";
import { FakeAccount, fakeConfig, SSH_KEY } from "../../test/fakes/azure/index.ts";
import { OwnerTag, type VmSize } from "../contract.ts";
import { chooseImage } from "./image.ts";
import { never, quiet, testRequest } from "./testing.ts";
import { buildVm } from "./vm-body.ts";

const NOTHING: VmSize = { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 };
const REQUEST = testRequest();
const NAME = REQUEST.name;

describe("the request", () => {
  const plan = {
    config: fakeConfig({ tags: { team: "blue" } }),
    request: REQUEST,
    size: "Standard_DC2as_v5",
    zone: "",
    confidential: true,
    image: chooseImage(fakeConfig().imageId),
    sshPublicKey: SSH_KEY,
    createdAtMs: Date.UTC(2026, 10, 23),
  };

  test("a confidential VM has a vTPM, its state encrypted, and secure boot as configured", () => {
    const vm = buildVm(plan);
    expect(vm.securityProfile).toEqual({
      securityType: "ConfidentialVM",
      uefiSettings: { secureBootEnabled: false, vTpmEnabled: true },
    });
    expect(vm.storageProfile?.osDisk?.managedDisk).toEqual({
      storageAccountType: "Premium_LRS",
      securityProfile: { securityEncryptionType: "VMGuestStateOnly" },
    });
    const secure = buildVm({ ...plan, config: fakeConfig({ secureBoot: true }) });
    expect(secure.securityProfile?.uefiSettings?.secureBootEnabled).toBe(true);
  });

  test("an ordinary VM has no security profile at all", () => {
    const vm = buildVm({ ...plan, confidential: false });
    expect(vm.securityProfile).toBeUndefined();
    expect(vm.storageProfile?.osDisk?.managedDisk?.securityProfile).toBeUndefined();
  });

  test("everything that is made along with a VM goes with it and carries its tags", () => {
    const vm = buildVm({ ...plan, config: fakeConfig({ publicIp: true, tags: { team: "blue" } }) });
    const nic = vm.networkProfile?.networkInterfaceConfigurations?.[0];
    const open = nic?.ipConfigurations?.[0]?.publicIPAddressConfiguration;
    expect([vm.storageProfile?.osDisk?.deleteOption, nic?.deleteOption, open?.deleteOption]).toEqual([
      "Delete",
      "Delete",
      "Delete",
    ]);
    const tags = { ...REQUEST.tags, team: "blue", "peerpods-vm": NAME };
    for (const tagged of [vm, nic, open]) expect(tagged?.tags).toMatchObject(tags);
    expect(open).toMatchObject({ sku: { name: "Standard" }, publicIPAllocationMethod: "Static" });
  });

  test("volumes become LUNs in their order, attached and kept", () => {
    const volumes = ["a", "b", "c"].map((diskId) => ({ diskId }));
    expect(buildVm({ ...plan, request: testRequest({ volumes }) }).storageProfile?.dataDisks).toEqual(
      ["a", "b", "c"].map((id, lun) => ({
        lun,
        createOption: "Attach",
        deleteOption: "Detach",
        managedDisk: { id },
      })),
    );
    expect(buildVm(plan).storageProfile?.dataDisks).toEqual([]);
  });

  test("zone, disk size and security group are sent only when set", () => {
    const bare = buildVm({ ...plan, config: fakeConfig({ securityGroupId: "" }) });
    expect(bare.zones).toBeUndefined();
    expect(bare.storageProfile?.osDisk).not.toHaveProperty("diskSizeGB");
    expect(bare.networkProfile?.networkInterfaceConfigurations?.[0]).not.toHaveProperty(
      "networkSecurityGroup",
    );
    const full = buildVm({ ...plan, zone: "2", config: fakeConfig({ rootVolumeGB: 30 }) });
    expect(full.zones).toEqual(["2"]);
    expect(full.storageProfile?.osDisk?.diskSizeGB).toBe(30);
  });
});

describe("user data", () => {
  test.each([
    [49_152, true],
    [49_153, false],
  ])("%i bytes: accepted is %s", async (bytes, accepted) => {
    const account = new FakeAccount();
    const provider = await account.provider();
    const created = provider.create(testRequest({ userData: new Secret("x".repeat(bytes)) }), quiet());
    if (accepted) await created;
    else await expect(created).rejects.toMatchObject({ kind: "too-large" });
    if (!accepted) expect(account.azure.calls).toEqual([]);
  });

  test("reaches the VM as it was, and can be replaced", async () => {
    const account = new FakeAccount();
    const provider = await account.provider();
    await provider.create(testRequest({ userData: new Secret("#cloud-config\nä\n") }), quiet());
    const decoded = (): string =>
      Buffer.from(account.azure.world.vms.get(NAME)?.userData ?? "", "base64").toString();
    expect(decoded()).toBe("#cloud-config\nä\n");
    await provider.updateUserData?.({ name: NAME }, new Secret("#cloud-config\nnew\n"), never());
    expect(decoded()).toBe("#cloud-config\nnew\n");
  });
});

describe("no room", () => {
  test.each(["refuse", "later"] as const)(
    "a full size (%s) leads to the next one, and leaves nothing of the first",
    async (how) => {
      const account = new FakeAccount({ full: { Standard_DC2as_v5: how } });
      const provider = await account.provider();
      const progress: string[] = [];
      await provider.create(REQUEST, { ...quiet(), onProgress: (text) => progress.push(text) });
      expect(account.azure.world.vms.get(NAME)?.size).toBe("Standard_DC4as_v5");
      expect(account.azure.resources()).toEqual([`disk ${NAME}-disk`, `nic ${NAME}-net`, `vm ${NAME}`]);
      expect(progress).toContain("no room so far; trying Standard_DC4as_v5");
    },
  );

  test("a full zone leads to the next zone of the same size", async () => {
    const account = new FakeAccount({ full: { "Standard_DC2as_v5/1": "later" } });
    const provider = await account.provider({ zones: ["1", "2"] });
    await provider.create(REQUEST, quiet());
    expect(account.azure.world.vms.get(NAME)).toMatchObject({
      size: "Standard_DC2as_v5",
      body: { zones: ["2"] },
    });
  });

  test("the full one is put last for some minutes", async () => {
    const account = new FakeAccount({ full: { Standard_DC2as_v5: "refuse" } });
    const provider = await account.provider();
    await provider.create(REQUEST, quiet());
    const from = account.azure.calls.length;
    await provider.create(testRequest({ name: "podvm-b-00000001" }), quiet());
    expect(account.azure.calls.slice(from).filter((call) => call.kind === "create")).toHaveLength(1);
    await account.clock.sleep(6 * 60_000);
    const later = account.azure.calls.length;
    await provider.create(testRequest({ name: "podvm-b-00000002" }), quiet());
    expect(account.azure.calls.slice(later).filter((call) => call.kind === "create")).toHaveLength(2);
  });

  test("at most three places are tried", async () => {
    const sizes = [2, 4, 8, 16].map((n) => `Standard_DC${n}as_v5`);
    const account = new FakeAccount({
      full: Object.fromEntries(sizes.map((size) => [size, "refuse" as const])),
    });
    const provider = await account.provider({ allowedSizes: sizes });
    await expect(provider.create(REQUEST, quiet())).rejects.toMatchObject({ kind: "capacity" });
    expect(account.azure.calls.filter((call) => call.kind === "create")).toHaveLength(3);
  });

  test("an explicit machine type is not exchanged for another", async () => {
    const account = new FakeAccount({ full: { Standard_DC4as_v5: "refuse" } });
    const provider = await account.provider();
    const size = { ...NOTHING, machineType: "Standard_DC4as_v5" };
    await expect(provider.create(testRequest({ size }), quiet())).rejects.toMatchObject({ kind: "capacity" });
  });

  test("a used-up quota is not asked twice, and its numbers are told", async () => {
    const account = new FakeAccount({ quotas: { standardDCASv5Family: { limit: 10, used: 9 } } });
    const provider = await account.provider();
    await expect(provider.create(REQUEST, quiet())).rejects.toMatchObject({
      kind: "quota",
      message: expect.stringContaining("9 of 10 used and 2 more needed"),
    });
    expect(account.azure.calls.filter((call) => call.kind === "create")).toHaveLength(1);
  });
});

describe("sizes", () => {
  const chosen = async (
    size: Partial<VmSize>,
    over: Parameters<typeof fakeConfig>[0] = {},
  ): Promise<unknown> => {
    const account = new FakeAccount();
    const provider = await account.provider(over);
    await provider.create(testRequest({ size: { ...NOTHING, ...size } }), quiet());
    const vm = account.azure.world.vms.get(NAME);
    return [vm?.size, vm?.body.properties?.securityProfile?.securityType];
  };

  test("vCPUs and memory find the best fit", async () => {
    expect(await chosen({ vcpus: 3, memoryMiB: 8192 })).toEqual(["Standard_DC4as_v5", "ConfidentialVM"]);
  });

  test("GPUs are counted from Azure's list", async () => {
    const gpu = "Standard_NC24ads_A100_v4";
    const over = { confidential: false, allowedSizes: ["Standard_DC2as_v5", gpu] };
    expect(await chosen({ gpus: 1 }, over)).toEqual([gpu, undefined]);
  });

  test("EPC finds an SGX size, which is not made a confidential VM", async () => {
    const over = { allowedSizes: ["Standard_DC2as_v5", "Standard_DC1s_v3", "Standard_DC2s_v3"] };
    expect(await chosen({ epcMiB: 5000 }, over)).toEqual(["Standard_DC2s_v3", undefined]);
  });

  test("an ordinary size is an ordinary VM for a pod that names it, and is given to no other", async () => {
    const over = {
      allowedSizes: ["Standard_D4s_v5", "Standard_DC4as_v5"],
      ordinarySizes: ["Standard_D4s_v5"],
    };
    expect(await chosen({ machineType: "Standard_D4s_v5" }, over)).toEqual(["Standard_D4s_v5", undefined]);
    expect(await chosen({ vcpus: 4 }, over)).toEqual(["Standard_DC4as_v5", "ConfidentialVM"]);
  });

  test("a size that cannot be confidential is refused with what to choose", async () => {
    const over = { allowedSizes: ["Standard_D2s_v5"] };
    await expect(chosen({ machineType: "Standard_D2s_v5" }, over)).rejects.toMatchObject({
      kind: "invalid-request",
      message: expect.stringMatching(/choose a DCas.*DISABLECVM=true/),
    });
  });

  test("a size that the subscription may not use is passed over", async () => {
    const account = new FakeAccount();
    const sizes = account.azure.world.settings.sizes.map((size) =>
      size.name === "Standard_DC4as_v5" ? { ...size, restricted: "region" as const } : size,
    );
    const closed = new FakeAccount({ sizes });
    const provider = await closed.provider();
    await provider.create(testRequest({ size: { ...NOTHING, vcpus: 3 } }), quiet());
    expect(closed.azure.world.vms.get(NAME)?.size).toBe("Standard_DC8as_v5");
  });

  test("the list of sizes is read once for many pods, and again after hours", async () => {
    const account = new FakeAccount();
    const provider = await account.provider();
    const lists = (): number => account.azure.calls.filter((call) => call.path.endsWith("/skus")).length;
    const make = (n: number): Promise<unknown> =>
      provider.create(testRequest({ name: `podvm-p-0000000${n}` }), quiet());
    await Promise.all([1, 2, 3].map(make));
    expect(lists()).toBe(1);
    await account.clock.sleep(7 * 3_600_000);
    await make(4);
    expect(lists()).toBe(2);
  });

  test("without the list an SGX size that the webhook chose is still no confidential VM", async () => {
    const account = new FakeAccount();
    account.azure.fault({ on: (request) => request.url.pathname.endsWith("/skus"), kind: 403, count: 1000 });
    const provider = await account.provider({ allowedSizes: ["Standard_DC1s_v3"] });
    await provider.create(testRequest({ size: { ...NOTHING, machineType: "Standard_DC1s_v3" } }), quiet());
    const vm = account.azure.world.vms.get(NAME);
    expect(vm?.size).toBe("Standard_DC1s_v3");
    expect(vm?.body.properties?.securityProfile?.securityType).toBeUndefined();
  });

  test("without the list the default is still made", async () => {
    const account = new FakeAccount();
    account.azure.fault({ on: (request) => request.url.pathname.endsWith("/skus"), kind: 403, count: 1000 });
    const provider = await account.provider();
    await provider.create(REQUEST, quiet());
    const size = { ...NOTHING, vcpus: 2 };
    await expect(
      provider.create(testRequest({ name: "podvm-q-00000001", size }), quiet()),
    ).rejects.toMatchObject({ kind: "unauthorised" });
  });
});

describe("addresses", () => {
  test("an address that comes late is waited for", async () => {
    const account = new FakeAccount({ addressDelayMs: 30_000 });
    const provider = await account.provider();
    const vm = await provider.create(REQUEST, quiet());
    expect(vm.addresses).toHaveLength(1);
  });

  test("an address that does not come is an error", async () => {
    const account = new FakeAccount({ addressDelayMs: 3_600_000 });
    const provider = await account.provider();
    await expect(provider.create(REQUEST, quiet())).rejects.toMatchObject({ kind: "unavailable" });
  });

  test("the public address is the first, where one is wanted", async () => {
    const account = new FakeAccount();
    const provider = await account.provider({ publicIp: true });
    const vm = await provider.create(REQUEST, quiet());
    expect(vm.addresses).toEqual([
      expect.stringMatching(/^203\.0\.113\./),
      expect.stringMatching(/^10\.1\./),
    ]);
    expect((await provider.get({ name: NAME }, never()))?.addresses).toEqual(vm.addresses);
  });

  test("the tunnel's interface is the second address, also behind a public one", async () => {
    const account = new FakeAccount();
    const provider = await account.provider({ publicIp: true });
    const vm = await provider.create(testRequest({ dedicatedTunnelInterface: true }), quiet());
    const nics = account.azure.world.nics.all();
    const second = nics.find((nic) => nic.name === `${NAME}-net-1`);
    expect(vm.addresses[1]).toBe(second?.address);
    await provider.delete({ name: NAME }, never());
    expect(account.azure.resources()).toEqual([]);
  });
});

describe("volumes", () => {
  const withDisks = async (
    over: Parameters<FakeAccount["azure"]["addDisk"]>[1],
    config: Parameters<typeof fakeConfig>[0] = {},
  ): Promise<unknown> => {
    const account = new FakeAccount();
    const provider = await account.provider(config);
    const diskId = account.azure.addDisk("data", over);
    await provider.create(testRequest({ volumes: [{ diskId }] }), quiet());
    await provider.delete({ name: NAME }, never());
    return account.azure.resources();
  };

  test("a data disk is attached, and kept when the VM goes", async () => {
    expect(await withDisks({ location: "East US" })).toEqual(["disk data"]);
  });

  test("a disk in another region is refused before anything is made", async () => {
    await expect(withDisks({ location: "westus" })).rejects.toMatchObject({
      kind: "invalid-request",
      message: expect.stringContaining("westus"),
    });
  });

  test("a disk in another zone is refused, one in the VM's zone is attached", async () => {
    await expect(withDisks({ zones: ["2"] }, { zones: ["1"] })).rejects.toMatchObject({
      message: expect.stringContaining("AZURE_ZONE"),
    });
    expect(await withDisks({ zones: ["1"] }, { zones: ["1"] })).toEqual(["disk data"]);
  });

  test("all problems are told at once: missing, in use", async () => {
    const account = new FakeAccount();
    const provider = await account.provider();
    const used = account.azure.addDisk("used");
    const missing = used.replace("used", "missing");
    await provider.create(testRequest({ name: "podvm-x-00000001", volumes: [{ diskId: used }] }), quiet());
    await expect(
      provider.create(testRequest({ volumes: [{ diskId: used }, { diskId: missing }] }), quiet()),
    ).rejects.toThrow(/disk used is attached, held by .*podvm-x-00000001; disk missing does not exist/);
  });

  test("more disks than the size takes are refused; as many as it takes are not", async () => {
    const account = new FakeAccount();
    const provider = await account.provider();
    const volumes = Array.from({ length: 5 }, (_, n) => ({ diskId: account.azure.addDisk(`d${n}`) }));
    await expect(provider.create(testRequest({ volumes }), quiet())).rejects.toThrow(
      "requested 5 data disks but VM size Standard_DC2as_v5 supports at most 4",
    );
    await provider.create(testRequest({ volumes: volumes.slice(0, 4) }), quiet());
  });
});

test("a guest that never reports ready is an error of its own, and the VM can be deleted", async () => {
  const account = new FakeAccount({ bootFailures: 1 });
  const provider = await account.provider();
  await expect(provider.create(REQUEST, quiet())).rejects.toMatchObject({
    kind: "deadline",
    message: expect.stringContaining("guest never reported ready"),
  });
  await provider.delete({ name: NAME }, never());
  expect(account.azure.resources()).toEqual([]);
});

test("a VM that was adopted and then finds no room is exchanged for one of another size", async () => {
  const account = new FakeAccount({ full: { Standard_DC2as_v5: "later" } });
  const provider = await account.provider();
  account.azure.fault({ on: "create", kind: "lost" });
  await provider.create(REQUEST, quiet());
  expect(account.azure.world.vms.get(NAME)?.size).toBe("Standard_DC4as_v5");
});

test("a single pod at work stays below Azure's limits for one VM", async () => {
  const account = new FakeAccount({ throttle: true, createMs: 8 * 60_000 });
  const provider = await account.provider();
  await provider.create(REQUEST, quiet());
  await provider.delete({ name: NAME }, never());
  expect(account.azure.throttled).toBe(0);
});

test("a start that takes too long is given up at our own deadline", async () => {
  const account = new FakeAccount({ createMs: 3_600_000 });
  const provider = await account.provider({ createTimeoutMs: 300_000 });
  await expect(provider.create(REQUEST, quiet())).rejects.toMatchObject({
    kind: "deadline",
    message: expect.stringContaining("AZURE_CREATE_TIMEOUT"),
  });
  expect(account.clock.monotonicMs()).toBeLessThan(400_000);
});

test("a VM of the same sandbox that is being deleted is waited out, and made anew", async () => {
  const account = new FakeAccount();
  const provider = await account.provider();
  await provider.create(REQUEST, quiet());
  const other = await account.provider();
  const deleting = other.delete({ name: NAME }, never());
  await account.clock.sleep(1000);
  const vm = await provider.create(REQUEST, quiet());
  expect(vm.lifecycle).toBe("running");
  await deleting.catch(() => undefined);
});

test("owner tags cannot be overridden by the user's", async () => {
  const account = new FakeAccount();
  const provider = await account.provider({ tags: { [OwnerTag.Sandbox]: "evil", team: "blue" } });
  const vm = await provider.create(REQUEST, quiet());
  expect(vm.tags).toMatchObject({ ...REQUEST.tags, team: "blue" });
});
