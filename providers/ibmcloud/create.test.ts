import { describe, expect, test } from "vitest";
import { FakeAccount, IMAGE_SE } from "../../test/fakes/ibmcloud/index.ts";
import { OwnerTag } from "../contract.ts";
import { never, quiet, testRequest } from "./testing.ts";

const REQUEST = testRequest();
const NAME = REQUEST.name;

const madeBy = (account: FakeAccount) =>
  [...account.ibm.world.instances.values()].find(({ name }) => name === NAME);
const creates = (account: FakeAccount): number =>
  account.ibm.calls.filter(({ kind }) => kind === "create").length;

describe("the create call", () => {
  test("says all that the Go adaptor's does, and lets nothing outlive the VM", async () => {
    const account = new FakeAccount();
    const provider = await account.provider({ keyId: "r010-key-1" });
    await provider.create(REQUEST, quiet());
    expect(madeBy(account)?.body).toMatchObject({
      name: NAME,
      user_data: "#cloud-config\n",
      keys: [{ id: "r010-key-1" }],
      resource_group: { id: "rg-1" },
      metadata_service: { enabled: true, protocol: "http" },
      boot_volume_attachment: { delete_volume_on_instance_delete: true },
      primary_network_attachment: {
        virtual_network_interface: {
          auto_delete: true,
          allow_ip_spoofing: false,
          security_groups: [{ id: "r010-sg-1" }],
        },
      },
    });
  });

  test("what is not set is not sent, and never as an empty text", async () => {
    const account = new FakeAccount();
    const provider = await account.provider({ resourceGroupId: "", securityGroupIds: [] });
    await provider.create(REQUEST, quiet());
    const text = JSON.stringify(madeBy(account)?.body);
    expect(text).not.toMatch(/resource_group|security_groups|placement_target|volume_attachments":|""/);
  });

  test("a second subnet gives every VM a second interface, with IP spoofing allowed", async () => {
    const account = new FakeAccount();
    const provider = await account.provider({
      secondarySubnetId: "02b7-subnet-1",
      secondarySecurityGroupId: "r010-sg-kube",
    });
    const vm = await provider.create(REQUEST, quiet());
    expect(vm.addresses).toHaveLength(2);
    expect(madeBy(account)?.body.network_attachments).toMatchObject([
      { virtual_network_interface: { allow_ip_spoofing: true, security_groups: [{ id: "r010-sg-kube" }] } },
    ]);
  });

  test("the longest name leaves room for those of volume and interfaces", async () => {
    const account = new FakeAccount();
    const provider = await account.provider();
    const name = `podvm-${"x".repeat(48)}-12345678`;
    await provider.create(testRequest({ name }), quiet());
    await provider.create(testRequest({ name: name.replace("12345678", "12345679") }), quiet());
    await provider.delete({ name }, never());
    expect(account.ibm.instanceNames()).toEqual([name.replace("12345678", "12345679")]);
  });

  test.each(["9-starts-with-a-digit", "ends-", "Upper"])("the name %s is refused", async (name) => {
    const provider = await new FakeAccount().provider();
    await expect(provider.create(testRequest({ name }), quiet())).rejects.toMatchObject({
      kind: "invalid-request",
    });
  });
});

describe("tags", () => {
  test("are the Go adaptor's, the operator's and the owner's, on the instance and on its boot volume", async () => {
    const account = new FakeAccount();
    const provider = await account.provider({ tags: ["team:blue", "plain", "peerpods-sandbox:evil"] });
    const vm = await provider.create(REQUEST, quiet());
    const wanted = {
      ...REQUEST.tags,
      "coco-pod-vm": "cluster-a",
      "peerpods-vm": NAME,
      team: "blue",
      plain: "",
    };
    expect(vm.tags).toEqual(wanted);
    expect((await provider.get(vm, never()))?.tags).toEqual(wanted);
    const volume = account.ibm.world.volumes.get(madeBy(account)?.volumeId ?? "");
    expect(volume?.tags).toContain(`${OwnerTag.Sandbox}:${"5".repeat(64)}`);
  });

  test("are written in the characters that IBM takes, and found again so", async () => {
    const account = new FakeAccount();
    const owner = { clusterId: "Cluster_A/b", nodeName: "node-1" };
    const provider = await account.provider({}, owner);
    const tags = { ...REQUEST.tags, [OwnerTag.Cluster]: owner.clusterId, [OwnerTag.Pod]: "p".repeat(200) };
    await provider.create(testRequest({ tags }), quiet());
    expect(await provider.list(owner, never())).toHaveLength(1);
  });

  test("wait for the tagging service to hear of the instance", async () => {
    const account = new FakeAccount({ tagBlindMs: 25_000 });
    const provider = await account.provider();
    const vm = await provider.create(REQUEST, quiet());
    expect((await provider.get(vm, never()))?.tags).toMatchObject(REQUEST.tags);
  });

  test("that cannot be attached fail the create", async () => {
    const account = new FakeAccount({ tagBlindMs: 3_600_000 });
    const provider = await account.provider();
    await expect(provider.create(REQUEST, quiet())).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining("did not attach the tags"),
    });
  });

  test("a VM whose own tags were never written is listed by its boot volume's", async () => {
    const account = new FakeAccount();
    account.ibm.fault({ on: ({ url }) => url.pathname.endsWith("/tags/attach"), kind: 403, count: 1000 });
    const provider = await account.provider();
    await expect(provider.create(REQUEST, quiet())).rejects.toMatchObject({ kind: "unauthorised" });
    const owner = { clusterId: "cluster-a", nodeName: "node-1" };
    expect((await provider.list(owner, never())).map(({ name }) => name)).toEqual([NAME]);
  });
});

describe("no room", () => {
  test.each(["refuse", "later"] as const)("a full profile (%s) leads to the next one", async (how) => {
    const account = new FakeAccount({ full: { "bx2-2x8": how } });
    const provider = await account.provider();
    const progress: string[] = [];
    await provider.create(REQUEST, { ...quiet(), onProgress: (text) => progress.push(text) });
    expect(madeBy(account)?.body.profile).toEqual({ name: "bx2-4x16" });
    expect(account.ibm.resources()).toHaveLength(3);
    expect(progress).toContain("no room so far; trying bx2-4x16 in eu-de-1");
  });

  test("a full zone leads to the subnet in the next one", async () => {
    const account = new FakeAccount({ full: { "bx2-2x8/eu-de-1": "later" } });
    const provider = await account.provider({ fallbackSubnetIds: ["02b7-subnet-3"] });
    await provider.create(REQUEST, quiet());
    expect(madeBy(account)?.body).toMatchObject({ profile: { name: "bx2-2x8" }, zone: { name: "eu-de-3" } });
  });

  test("a profile that is not offered in the zone leads to one where it is", async () => {
    const { profiles } = new FakeAccount().ibm.world.settings;
    const account = new FakeAccount({ profiles: profiles.map((one) => ({ ...one, zones: ["eu-de-2"] })) });
    await (await account.provider({ fallbackSubnetIds: ["02b7-subnet-2"] })).create(REQUEST, quiet());
    expect(madeBy(account)?.body.zone).toEqual({ name: "eu-de-2" });
    const nowhere = await account.provider();
    await expect(nowhere.create(testRequest({ name: "podvm-b-1" }), quiet())).rejects.toThrow(
      /does not offer.*bx2-2x8.*eu-de-1/,
    );
  });

  test("the full one is put last for some minutes", async () => {
    const account = new FakeAccount({ full: { "bx2-2x8": "refuse" } });
    const provider = await account.provider();
    await provider.create(REQUEST, quiet());
    const before = creates(account);
    await provider.create(testRequest({ name: "podvm-b-00000001" }), quiet());
    expect(creates(account) - before).toBe(1);
  });

  test("an explicit machine type is not exchanged for another", async () => {
    const account = new FakeAccount({ full: { "bx2-4x16": "later" } });
    const provider = await account.provider();
    const size = { ...REQUEST.size, machineType: "bx2-4x16" };
    await expect(provider.create(testRequest({ size }), quiet())).rejects.toMatchObject({ kind: "capacity" });
  });

  test("a used-up quota is not asked twice, and its numbers are told", async () => {
    const account = new FakeAccount({ quota: { limit: 200, used: 199 } });
    const provider = await account.provider();
    await expect(provider.create(REQUEST, quiet())).rejects.toMatchObject({
      kind: "quota",
      message: expect.stringContaining("199 of 200 in use"),
    });
    expect(creates(account)).toBe(1);
  });
});

describe("dedicated hosts", () => {
  const host = { id: "r010-host-1", zone: "eu-de-1", group: false };
  const elsewhere = { id: "r010-host-2", zone: "eu-de-2", group: false };
  const group = { id: "r010-group-1", zone: "eu-de-1", group: true };
  const config = { hostIds: [elsewhere.id, host.id], hostGroupIds: [group.id] };

  test("the one in the VM's zone is used", async () => {
    const account = new FakeAccount({ hosts: [host, elsewhere, group] });
    await (await account.provider(config)).create(REQUEST, quiet());
    expect(madeBy(account)?.body.placement_target).toEqual({ id: host.id });
  });

  test.each([
    ["full", { full: true }],
    ["disabled", { disabled: true }],
  ])("a %s one leads to the group", async (_what, state) => {
    const account = new FakeAccount({ hosts: [{ ...host, ...state }, elsewhere, group] });
    await (await account.provider(config)).create(REQUEST, quiet());
    expect(madeBy(account)?.body.placement_target).toEqual({ id: group.id });
  });

  test("a refusal that has nothing to do with room does not lead to the group", async () => {
    const account = new FakeAccount({ hosts: [host, elsewhere, group] });
    account.ibm.fault({ on: "create", kind: 403, code: "not_authorized" });
    await expect((await account.provider(config)).create(REQUEST, quiet())).rejects.toMatchObject({
      kind: "unauthorised",
    });
    expect(creates(account)).toBe(1);
  });

  test("a lost answer makes one VM, not one on each", async () => {
    const account = new FakeAccount({ hosts: [host, elsewhere, group] });
    account.ibm.fault({ on: "create", kind: "lost" });
    await (await account.provider(config)).create(REQUEST, quiet());
    expect(madeBy(account)?.body.placement_target).toEqual({ id: host.id });
    expect(account.ibm.instanceNames()).toEqual([NAME]);
  });

  test("none in our zone is a fault of the settings", async () => {
    const account = new FakeAccount({ hosts: [elsewhere] });
    const provider = await account.provider({ hostIds: [elsewhere.id] });
    await expect(provider.create(REQUEST, quiet())).rejects.toMatchObject({
      kind: "invalid-config",
      message: expect.stringContaining("r010-host-2 in eu-de-2"),
    });
  });
});

describe("waiting", () => {
  test("addresses that come late are waited for, all of them", async () => {
    const account = new FakeAccount({ addressDelayMs: 30_000 });
    const provider = await account.provider();
    const vm = await provider.create(testRequest({ dedicatedTunnelInterface: true }), quiet());
    expect(vm.addresses).toEqual(madeBy(account)?.addresses);
  });

  test("a VM that does not get an address is given up at our own deadline", async () => {
    const account = new FakeAccount({ addressDelayMs: 3_600_000 });
    const provider = await account.provider({ createTimeoutMs: 300_000 });
    await expect(provider.create(REQUEST, quiet())).rejects.toMatchObject({
      kind: "deadline",
      message: expect.stringContaining("IBMCLOUD_CREATE_TIMEOUT"),
    });
    expect(account.clock.monotonicMs()).toBeLessThan(400_000);
  });

  test("a VM that fails is told with IBM's reason at once, not at the deadline", async () => {
    const account = new FakeAccount({ bootFailures: 1 });
    const provider = await account.provider();
    await expect(provider.create(REQUEST, quiet())).rejects.toThrow("cannot_start_compute");
    expect(account.clock.monotonicMs()).toBeLessThan(60_000);
  });

  test("an image that the profile cannot start is told with IBM's reason", async () => {
    const provider = await new FakeAccount().provider({
      defaultProfile: "bz2-2x8",
      allowedProfiles: [],
      imageIds: [IMAGE_SE],
    });
    await expect(provider.create(REQUEST, quiet())).rejects.toThrow("cannot_start");
  });

  test("many pods share their polling", async () => {
    const account = new FakeAccount({ pageSize: 100, quota: { limit: 1000, used: 0 } });
    const provider = await account.provider();
    const requests = Array.from({ length: 20 }, (_, n) => testRequest({ name: `podvm-p-${10_000_000 + n}` }));
    await Promise.all(requests.map((request) => provider.create(request, quiet())));
    const reads = account.ibm.calls.filter(
      ({ method, path }) => method === "GET" && path.includes("/instances"),
    );
    expect(reads.length).toBeLessThan(requests.length);
  });
});

describe("volumes", () => {
  test("are attached, and kept when the VM goes", async () => {
    const account = new FakeAccount();
    const provider = await account.provider();
    const diskId = account.ibm.addVolume("data", "eu-de-1");
    await provider.create(testRequest({ volumes: [{ diskId }] }), quiet());
    await provider.delete({ name: NAME }, never());
    expect(account.ibm.resources()).toEqual(["volume data"]);
  });
});

describe("deleting", () => {
  test.each(["volume", "vni"] as const)("a %s that IBM forgets is deleted too", async (what) => {
    const account = new FakeAccount({ forget: [what] });
    const provider = await account.provider();
    await provider.create(REQUEST, quiet());
    await provider.delete({ name: NAME }, never());
    expect(account.ibm.resources()).toEqual([]);
  });

  test("a boot volume that is left alone is listed as what remains of its VM, and can be deleted by that", async () => {
    const account = new FakeAccount({ forget: ["volume"] });
    const provider = await account.provider();
    await provider.create(REQUEST, quiet());
    account.ibm.vanish(NAME);
    await account.clock.sleep(10_000);
    const [remains] = await provider.list({ clusterId: "cluster-a" }, never());
    expect(remains).toMatchObject({ name: NAME, lifecycle: "failed" });
    if (remains) await provider.delete(remains, never());
    expect(account.ibm.resources()).toEqual([]);
  });

  test("a VM that is found by name in a lagging list is not missed", async () => {
    const account = new FakeAccount({ listLagMs: 4000 });
    const provider = await account.provider();
    account.ibm.fault({ on: "create", kind: "lost" });
    const vm = await provider.create(REQUEST, quiet());
    expect(vm.lifecycle).toBe("running");
    expect(account.ibm.instanceNames()).toEqual([NAME]);
  });
});

describe("verify", () => {
  const findings = async (over: Parameters<FakeAccount["provider"]>[0], account = new FakeAccount()) =>
    (await (await account.provider(over)).verify(never())).filter(({ level }) => level !== "ok");

  test.each([
    ["a subnet in another zone", { zone: "eu-de-2" }, "subnet", "IBMCLOUD_ZONE"],
    [
      "a security group of another VPC",
      { securityGroupIds: ["r010-sg-foreign"] },
      "security groups",
      "r010-vpc-2",
    ],
    ["a key that does not exist", { keyId: "r010-nokey" }, "ssh key", "r010-nokey"],
    ["a profile without TDX", { confidential: true }, "profiles", "bx2-2x8 has no TDX"],
    ["a subnet that does not exist", { subnetId: "02b7-none" }, "subnet", "02b7-none"],
  ])("%s is an error", async (_what, over, check, text) => {
    expect(await findings(over)).toContainEqual({
      check,
      level: "error",
      text: expect.stringContaining(text),
    });
  });

  test.each([
    [
      "an image that does not exist, beside one that does",
      { imageIds: ["r010-none", "r010-image-amd64"] },
      "images",
    ],
    ["a default that pods cannot name", { allowedProfiles: ["bx2-4x16"] }, "profiles"],
    ["no security group at all", { securityGroupIds: [] }, "security groups"],
  ])("%s is a warning", async (_what, over, check) => {
    expect(await findings(over)).toEqual([expect.objectContaining({ check, level: "warning" })]);
  });

  test("vCPUs near IBM's default quota are a warning", async () => {
    const account = new FakeAccount({ quota: { limit: 1000, used: 0 }, pageSize: 100 });
    const provider = await account.provider({ defaultProfile: "cx2-8x16", allowedProfiles: [] });
    const requests = Array.from({ length: 25 }, (_, n) => testRequest({ name: `podvm-q-${10_000_000 + n}` }));
    await Promise.all(requests.map((request) => provider.create(request, quiet())));
    expect(await findings({}, account)).toEqual([
      expect.objectContaining({ check: "quota", level: "warning" }),
    ]);
  });
});
