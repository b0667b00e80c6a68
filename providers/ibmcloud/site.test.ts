import { describe, expect, test } from "vitest";
import { Secret } from "../../src/platform/index.ts";
import { FakeAccount } from "../../test/fakes/ibmcloud/index.ts";
import { never, quiet, testRequest } from "./testing.ts";

const REQUEST = testRequest();
const NAME = REQUEST.name;

const madeBy = (account: FakeAccount) =>
  [...account.ibm.world.instances.values()].find(({ name }) => name === NAME);

describe("the place, from the cluster", () => {
  const UNSET = { zone: "", vpcId: "", subnetId: "", resourceGroupId: "", securityGroupIds: [] };
  const CLUSTER = "c0ffee0c0ffee0c0ffee";

  test.each([
    [
      "the configured cluster",
      { ...UNSET, clusterId: CLUSTER },
      { clusterId: "uid", nodeName: "10.243.64.4" },
    ],
    ["the cluster whose id is our own", UNSET, { clusterId: CLUSTER, nodeName: "10.243.64.4" }],
  ])("%s tells VPC, zone, subnet, group and resource group of the worker", async (_what, config, owner) => {
    const account = new FakeAccount();
    await (await account.provider(config, owner)).create(REQUEST, quiet());
    expect(madeBy(account)?.body).toMatchObject({
      zone: { name: "eu-de-2" },
      vpc: { id: "r010-vpc-1" },
      resource_group: { id: "rg-1" },
      primary_network_attachment: {
        virtual_network_interface: {
          subnet: { id: "02b7-subnet-2" },
          security_groups: [{ id: "r010-sg-kube" }],
        },
      },
    });
  });

  test("what is set is kept, and the cluster's group added", async () => {
    const account = new FakeAccount();
    const provider = await account.provider({ clusterId: CLUSTER });
    await provider.create(REQUEST, quiet());
    expect(
      madeBy(account)?.body.primary_network_attachment.virtual_network_interface.security_groups,
    ).toEqual([{ id: "r010-sg-1" }, { id: "r010-sg-kube" }]);
    expect(account.ibm.calls.some(({ path }) => path.includes("getCluster"))).toBe(false);
  });

  test("a cluster that does not tell its group is no obstacle where groups are set", async () => {
    const account = new FakeAccount();
    const config = { clusterId: "somebody-elses" };
    await (await account.provider(config)).create(REQUEST, quiet());
    const without = await account.provider({ ...config, securityGroupIds: [] });
    await expect(without.create(testRequest({ name: "podvm-b-1" }), quiet())).rejects.toMatchObject({
      kind: "invalid-config",
    });
  });

  test("a node that is no worker is told what to set", async () => {
    const provider = await new FakeAccount().provider({ ...UNSET, clusterId: CLUSTER });
    await expect(provider.create(REQUEST, quiet())).rejects.toThrow(
      /no worker that is node node-1.*IBMCLOUD_ZONE/,
    );
  });

  test("without cluster and place the provider does not start", async () => {
    const account = new FakeAccount();
    await expect(account.provider(UNSET)).rejects.toMatchObject({
      kind: "invalid-config",
      message: expect.stringContaining("IBMCLOUD_ZONE is not set"),
    });
  });

  test("a region that IBM does not have is refused before a call is made", async () => {
    const account = new FakeAccount();
    const provider = await account.provider({ zone: "eu-xx-1" });
    await expect(provider.create(REQUEST, quiet())).rejects.toMatchObject({
      kind: "invalid-config",
      message: expect.stringContaining("IBMCLOUD_VPC_ENDPOINT"),
    });
    expect(account.ibm.calls).toEqual([]);
  });
});

describe("signing in", () => {
  const iamUrl = "https://iam.cloud.ibm.com/identity/token";

  test("the instance's identity is taken from its metadata service", async () => {
    const account = new FakeAccount();
    const provider = await account.provider({ identity: { kind: "instance", profileId: "Profile-1111" } });
    await provider.create(REQUEST, quiet());
    expect(account.ibm.calls.slice(0, 2).map(({ host }) => host)).toEqual([
      "169.254.169.254",
      "169.254.169.254",
    ]);
  });

  test("a service account token that is missing is told as that", async () => {
    const identity = {
      kind: "service-account",
      profileId: "Profile-1111",
      tokenFile: "/nonexistent/token",
      iamUrl,
    } as const;
    const provider = await new FakeAccount().provider({ identity });
    await expect(provider.create(REQUEST, quiet())).rejects.toMatchObject({
      kind: "unauthorised",
      message: expect.stringMatching(/service account token.*cr-token-filename/),
    });
  });

  test("a trusted profile is signed in to with the service account's token", async () => {
    const account = new FakeAccount();
    const identity = {
      kind: "service-account",
      profileId: "Profile-1111",
      // Any file with something in it.
      tokenFile: import.meta.filename,
      iamUrl,
    } as const;
    await (await account.provider({ identity })).create(REQUEST, quiet());
    expect(account.ibm.calls[0]?.path).toBe("/identity/token");
    const unknown = await account.provider({ identity: { ...identity, profileId: "Profile-2222" } });
    await expect(unknown.create(REQUEST, quiet())).rejects.toMatchObject({
      kind: "unauthorised",
      message: expect.stringContaining("IBMCLOUD_IAM_PROFILE_ID"),
    });
  });

  test("a key that IAM does not know is refused with its reason, and never shown", async () => {
    const identity = { kind: "api-key", apiKey: new Secret("wrong-key-4711"), iamUrl } as const;
    const provider = await new FakeAccount().provider({ identity });
    const error: unknown = await provider.create(REQUEST, quiet()).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ kind: "unauthorised", message: expect.stringContaining("BXNIM0415E") });
    expect(String(error)).not.toContain("4711");
  });

  test("one token serves many calls, and is renewed before it ends", async () => {
    const account = new FakeAccount({ tokenMs: 600_000 });
    const provider = await account.provider();
    const signIns = (): number => account.ibm.calls.filter(({ host }) => host.startsWith("iam.")).length;
    await provider.create(REQUEST, quiet());
    expect(signIns()).toBe(1);
    await account.clock.sleep(500_000);
    await provider.get({ name: NAME }, never());
    expect(signIns()).toBe(2);
  });

  test("a token that IBM does not take any more is replaced once", async () => {
    const account = new FakeAccount();
    const provider = await account.provider();
    await provider.create(REQUEST, quiet());
    account.ibm.iam.revoke();
    expect(await provider.get({ name: NAME }, never())).toMatchObject({ name: NAME });
  });
});
