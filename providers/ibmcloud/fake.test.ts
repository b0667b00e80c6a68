import { describe, expect, test } from "vitest";
import { FakeAccount, type FakeIbmSettings, fakeConfig } from "../../test/fakes/ibmcloud/index.ts";
import { buildInstance, type InstancePlan } from "./instance-body.ts";
import { readProfile } from "./profiles.ts";
import { never, testRequest } from "./testing.ts";

/*
 * The fake must refuse what IBM refuses, or provider and fake would only agree with each other. Each row is our own request
 * with one thing wrong.
 */

const plan: InstancePlan = {
  config: fakeConfig({ secondarySubnetId: "02b7-subnet-1" }),
  site: {
    vpcId: "r010-vpc-1",
    resourceGroupId: "rg-1",
    spots: [],
    securityGroupIds: ["r010-sg-1"],
    hostId: "",
    groupId: "",
  },
  request: testRequest(),
  placement: {
    profile: readProfile({ name: "bx2-2x8" }),
    spot: { subnetId: "02b7-subnet-1", zone: "eu-de-1" },
    target: "",
    tee: { mode: "disabled", secureBoot: false },
  },
  imageId: "r010-image-amd64",
  tags: ["peerpods-cluster:a"],
};

/** A copy of our request with `value` at a dotted path; undefined takes the member out. */
function changed(path: string, value: unknown): object {
  const body: object = structuredClone(buildInstance(plan));
  const keys = path.split(".");
  const last = keys.pop() ?? "";
  let at: object = body;
  for (const key of keys) {
    const next: unknown = Reflect.get(at, key);
    if (typeof next !== "object" || next === null) throw new Error(`${path} leads nowhere`);
    at = next;
  }
  if (value === undefined) Reflect.deleteProperty(at, last);
  else Reflect.set(at, last, value);
  return body;
}

interface Call {
  readonly method?: string;
  readonly query?: string;
  readonly token?: string;
  readonly settings?: Partial<FakeIbmSettings>;
}

async function statusOf(path: string, body: object | undefined, call: Call = {}): Promise<string> {
  const { ibm } = new FakeAccount(call.settings);
  const signIn = new URLSearchParams({
    grant_type: "urn:ibm:params:oauth:grant-type:apikey",
    apikey: "fake-api-key",
  });
  const signedIn = await ibm.handle(
    {
      method: "POST",
      url: new URL("https://iam.cloud.ibm.com/identity/token"),
      headers: new Map(),
      body: signIn.toString(),
    },
    never(),
  );
  const token = call.token ?? /"access_token":"([^"]+)"/.exec(signedIn.body)?.[1] ?? "";
  const answer = await ibm.handle(
    {
      method: call.method ?? (body ? "POST" : "GET"),
      url: new URL(
        `https://eu-de.iaas.cloud.ibm.com/v1${path}?${call.query ?? "version=2026-07-21&generation=2"}`,
      ),
      headers: new Map([["authorization", `Bearer ${token}`]]),
      body: JSON.stringify(body ?? {}),
    },
    never(),
  );
  const code = /"code":"([^"]+)"/.exec(answer.body)?.[1] ?? "";
  return answer.status < 300 ? `${answer.status}` : `${answer.status} ${code}`;
}

describe("the fake", () => {
  test("takes our request as it is", async () => {
    expect(await statusOf("/instances", buildInstance(plan))).toBe("201");
  });

  test.each([
    ["an unknown member", "disable_cvm", true, "400 invalid_field"],
    [
      "an unknown member within",
      "primary_network_attachment.virtual_network_interface.public",
      true,
      "400 invalid_field",
    ],
    [
      "both forms of networking",
      "primary_network_interface",
      { subnet: { id: "02b7-subnet-1" } },
      "400 invalid_field",
    ],
    ["an empty id", "image.id", "", "400 validation_failed_oneof"],
    ["an id and no attachment", "primary_network_attachment", undefined, "400 validation_failed"],
    ["a name with an underscore", "name", "podvm_1", "400 validation_failed"],
    ["a name of 64 characters", "name", "p".repeat(64), "400 validation_failed"],
    ["user data over 64 KiB", "user_data", "x".repeat(65_537), "400 validation_failed"],
    ["a mode that is none", "confidential_compute_mode", "sev", "400 validation_failed"],
    [
      "a mode that the profile lacks",
      "confidential_compute_mode",
      "tdx",
      "400 invalid_confidential_compute_mode",
    ],
    [
      "a tag with a character that tags lack",
      "boot_volume_attachment.volume.user_tags",
      ["a=b"],
      "400 validation_failed",
    ],
    [
      "a boot volume without a profile",
      "boot_volume_attachment.volume.profile",
      undefined,
      "400 validation_failed",
    ],
    ["another VPC", "vpc.id", "r010-vpc-2", "400 vpc_mismatch"],
    ["another zone", "zone.name", "eu-de-2", "400 zone_mismatch"],
    ["an image that does not exist", "image.id", "r010-none", "404 image_not_found"],
    ["an image of another architecture", "image.id", "r010-image-s390x", "400 image_architecture_mismatch"],
    ["a profile that does not exist", "profile.name", "bx9-1x1", "400 instance_profile_not_found"],
    ["a key that does not exist", "keys", [{ id: "r010-none" }], "404 key_not_found"],
    ["a resource group that does not exist", "resource_group.id", "none", "404 resource_group_not_found"],
    [
      "a foreign security group",
      "primary_network_attachment.virtual_network_interface.security_groups",
      [{ id: "r010-sg-foreign" }],
      "400 vpc_mismatch",
    ],
    [
      "six security groups",
      "primary_network_attachment.virtual_network_interface.security_groups",
      Array.from({ length: 6 }, () => ({ id: "r010-sg-1" })),
      "400 validation_failed",
    ],
    ["a host that does not exist", "placement_target", { id: "r010-none" }, "404 placement_target_not_found"],
  ])("refuses %s", async (_what, path, value, refusal) => {
    expect(await statusOf("/instances", changed(path, value))).toBe(refusal);
  });

  test.each([
    ["no version", "generation=2", "400 invalid_version"],
    ["a version of the future", "version=2027-01-01&generation=2", "400 invalid_version"],
    ["no generation", "version=2026-07-21", "400 missing_field"],
    ["a filter that there is not", "version=2026-07-21&generation=2&tag=x", "400 invalid_query"],
    ["pages over 100", "version=2026-07-21&generation=2&limit=101", "400 invalid_limit"],
  ])("refuses a list with %s", async (_what, query, refusal) => {
    expect(await statusOf("/instances", undefined, { query })).toBe(refusal);
  });

  test("refuses a token that it did not give", async () => {
    expect(await statusOf("/instances", undefined, { token: "mine" })).toBe("401 not_authenticated");
  });
});
