import { describe, expect, test } from "vitest";
import { Secret } from "../../src/platform/index.ts";
import type { OptionReader } from "../contract.ts";
import { readConfig } from "./config.ts";
import { IBMCLOUD_OPTIONS } from "./options.ts";

const SOUND: Readonly<Record<string, string>> = {
  "api-key": "geheim",
  "zone-name": "eu-de-1",
  "vpc-id": "r010-vpc-1",
  "primary-subnet-id": "02b7-subnet-1",
  "profile-name": "bx2-2x8",
  "image-id": "r010-image-1",
};

/** Reads values as the command line would hand them on. */
function reader(values: Readonly<Record<string, string>>): OptionReader {
  const text = (flag: string): string =>
    values[flag] ?? IBMCLOUD_OPTIONS.find((option) => option.flag === flag)?.default ?? "";
  return {
    string: text,
    secret: (flag) => (text(flag) === "" ? undefined : new Secret(text(flag))),
    int: (flag) => (text(flag) === "" ? undefined : Number(text(flag))),
    bool: (flag) => text(flag) === "true",
    list: (flag) =>
      text(flag)
        .split(",")
        .map((item) => item.trim())
        .filter((item) => item !== ""),
    tags: () => ({}),
    durationMs: () => undefined,
  };
}

const option = (flag: string) => IBMCLOUD_OPTIONS.find((one) => one.flag === flag);

describe("the options", () => {
  test("are all that the Go adaptor has, with its variables and defaults", () => {
    const rows = IBMCLOUD_OPTIONS.map((one) => [one.flag, one.env ?? "", one.default ?? ""].join("|"));
    for (const row of [
      "api-key|IBMCLOUD_API_KEY|",
      "iam-profile-id|IBMCLOUD_IAM_PROFILE_ID|",
      "cr-token-filename||/var/run/secrets/tokens/vault-token",
      "iam-service-url|IBMCLOUD_IAM_ENDPOINT|https://iam.cloud.ibm.com/identity/token",
      "vpc-service-url|IBMCLOUD_VPC_ENDPOINT|",
      "resource-group-id|IBMCLOUD_RESOURCE_GROUP_ID|",
      "profile-name|IBMCLOUD_PODVM_INSTANCE_PROFILE_NAME|",
      "profile-list|IBMCLOUD_PODVM_INSTANCE_PROFILE_LIST|",
      "zone-name|IBMCLOUD_ZONE|",
      "image-id|IBMCLOUD_PODVM_IMAGE_ID|",
      "primary-subnet-id|IBMCLOUD_VPC_SUBNET_ID|",
      "secondary-subnet-id||",
      "secondary-security-group-id||",
      "security-group-ids|IBMCLOUD_SECURITY_GROUP_IDS|",
      "key-id|IBMCLOUD_SSH_KEY_ID|",
      "vpc-id|IBMCLOUD_VPC_ID|",
      "cluster-id|IBMCLOUD_CLUSTER_ID|",
      "disable-cvm|DISABLECVM|true",
      "tags|TAGS|",
      "dedicated-host-ids|IBMCLOUD_DEDICATED_HOST_IDS|",
      "dedicated-host-group-ids|IBMCLOUD_DEDICATED_HOST_GROUP_IDS|",
    ]) {
      expect(rows).toContain(row);
    }
  });

  test("the API key is never shown", () => {
    expect(option("api-key")?.secret).toBe(true);
    expect(JSON.stringify(readConfig(reader(SOUND)))).not.toContain("geheim");
  });

  test.each([
    ["zone-name", "eu-de", "zone"],
    ["vpc-service-url", "http://eu-de.iaas.cloud.ibm.com/v1", "https"],
    ["key-id", "two words", "spaces"],
    ["tags", `ok,${"x".repeat(129)}`, "128"],
    ["tags", "team=blue", "character"],
  ])("%s %s is refused, and with what to write", (flag, value, text) => {
    expect(option(flag)?.validate?.(value)).toContain(text);
    expect(option(flag)?.validate?.("")).toBeUndefined();
  });
});

describe("the settings together", () => {
  test("are read, with empty items of lists dropped", () => {
    expect(readConfig(reader({ ...SOUND, "profile-list": " bx2-2x8, ,bx2-4x16" }))).toMatchObject({
      allowedProfiles: ["bx2-2x8", "bx2-4x16"],
      confidential: false,
      identity: { kind: "api-key" },
    });
  });

  test("without a default profile the first of the list is it", () => {
    const values = { ...SOUND, "profile-name": "", "profile-list": "bx2-4x16,bx2-2x8" };
    expect(readConfig(reader(values)).defaultProfile).toBe("bx2-4x16");
  });

  test.each([
    ["instance", { "api-key": "k", "use-instance-identity": "true" }],
    ["service-account", { "api-key": "", "iam-profile-id": "Profile-1" }],
    ["api-key", { "api-key": "k", "iam-profile-id": "Profile-1" }],
  ])("sign in by %s", (kind, values) => {
    expect(readConfig(reader({ ...SOUND, ...values })).identity.kind).toBe(kind);
  });

  test.each([
    ["no way to sign in", { "api-key": "" }, "IBMCLOUD_API_KEY"],
    ["no image", { "image-id": " , " }, "IBMCLOUD_PODVM_IMAGE_ID"],
    ["no profile", { "profile-name": "" }, "IBMCLOUD_PODVM_INSTANCE_PROFILE_NAME"],
    ["a region that IBM does not have", { "zone-name": "eu-xx-1" }, "IBMCLOUD_ZONE"],
    [
      "a Secure Execution image that is no image",
      { "secure-execution-image-ids": "r010-x" },
      "IBMCLOUD_SE_IMAGE_IDS",
    ],
    ["more groups than an interface takes", { "security-group-ids": "a,b,c,d,e,f" }, "takes 5"],
    [
      "a second interface and other zones",
      { "secondary-subnet-id": "s", "fallback-subnet-ids": "t" },
      "exclude each other",
    ],
    [
      "TDX on a dedicated host",
      { "profile-name": "bx3dc-2x10", "disable-cvm": "false", "dedicated-host-ids": "h" },
      "DISABLECVM=true",
    ],
  ])("%s is refused", (_what, values, text) => {
    expect(() => readConfig(reader({ ...SOUND, ...values }))).toThrow(text);
  });

  test("a region that we do not know is accepted with an endpoint of its own", () => {
    const values = { "zone-name": "eu-xx-1", "vpc-service-url": "https://eu-xx.iaas.cloud.ibm.com/v1/" };
    expect(readConfig(reader({ ...SOUND, ...values })).vpcUrl).toBe("https://eu-xx.iaas.cloud.ibm.com/v1");
  });
});
