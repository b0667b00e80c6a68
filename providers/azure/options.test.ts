import { describe, expect, test } from "vitest";
import { Secret } from "../../src/platform/index.ts";
import type { OptionReader } from "../contract.ts";
import { readConfig } from "./config.ts";
import { AZURE_OPTIONS } from "./options.ts";

const UUID = "11111111-2222-3333-4444-555555555555";
const SUBNET = `/subscriptions/${UUID}/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v/subnets/s`;
const NSG = `/subscriptions/${UUID}/resourceGroups/net/providers/Microsoft.Network/networkSecurityGroups/n`;
const SOUND: Readonly<Record<string, string>> = {
  clientid: UUID,
  tenantid: UUID,
  secret: "geheim",
  subscriptionid: UUID,
  region: "eastus",
  resourcegroup: "podvms",
  subnetid: SUBNET,
  imageid: "/CommunityGalleries/g/Images/i/Versions/1.0.0",
};

/** Reads values as the command line would hand them on. */
function reader(values: Readonly<Record<string, string>>): OptionReader {
  const text = (flag: string): string =>
    values[flag] ?? AZURE_OPTIONS.find((option) => option.flag === flag)?.default ?? "";
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

describe("the options", () => {
  test("are all that the Go adaptor has, with its variables and defaults", () => {
    const rows = AZURE_OPTIONS.map((option) =>
      [option.flag, option.env ?? "", option.default ?? ""].join("|"),
    );
    for (const row of [
      "clientid|AZURE_CLIENT_ID|",
      "secret|AZURE_CLIENT_SECRET|",
      "tenantid|AZURE_TENANT_ID|",
      "subscriptionid|AZURE_SUBSCRIPTION_ID|",
      "region|AZURE_REGION|",
      "resourcegroup|AZURE_RESOURCE_GROUP|",
      "instance-size|AZURE_INSTANCE_SIZE|Standard_DC2as_v5",
      "instance-sizes|AZURE_INSTANCE_SIZES|",
      "zone|AZURE_ZONE|",
      "subnetid|AZURE_SUBNET_ID|",
      "securitygroupid|AZURE_NSG_ID|",
      "imageid|AZURE_IMAGE_ID|",
      "ssh-key-path||",
      "ssh-username|SSH_USERNAME|peerpod",
      "disable-cvm|DISABLECVM|false",
      "enable-secure-boot|ENABLE_SECURE_BOOT|false",
      "use-public-ip|USE_PUBLIC_IP|false",
      "root-volume-size|ROOT_VOLUME_SIZE|0",
      "tags|TAGS|",
    ]) {
      expect(rows).toContain(row);
    }
  });

  test("credentials are never shown", () => {
    const secret = AZURE_OPTIONS.filter((option) => option.secret).map((option) => option.flag);
    expect(secret).toEqual(["clientid", "secret", "tenantid"]);
  });

  const verdict = (flag: string, value: string): string | undefined =>
    AZURE_OPTIONS.find((option) => option.flag === flag)?.validate?.(value);

  test.each([
    ["subscriptionid", UUID],
    ["subnetid", SUBNET],
    ["subnetid", SUBNET.toLowerCase()],
    ["securitygroupid", NSG],
    ["securitygroupid", ""],
    ["region", "East US 2"],
    ["resourcegroup", "my_rg-1.(x)"],
    ["zone", "1, 3"],
    ["imageid", "canonical:ubuntu:cvm:latest"],
    ["imageid", `/subscriptions/${UUID}/resourceGroups/g/providers/Microsoft.Compute/images/i`],
    ["ssh-username", "peerpod"],
    ["root-volume-size", "30"],
    ["tags", "a=b, c = d=e,f="],
  ])("%s takes %j", (flag, value) => {
    expect(verdict(flag, value)).toBeUndefined();
  });

  test.each([
    ["subscriptionid", "prod"],
    ["subnetid", NSG],
    ["subnetid", SUBNET.replace("/subnets/s", "")],
    ["securitygroupid", SUBNET],
    ["region", "east/us"],
    ["resourcegroup", "a/b"],
    ["zone", "eastus-1"],
    ["imageid", "podvm"],
    ["imageid", NSG],
    ["ssh-username", "root:x"],
    ["root-volume-size", "-1"],
    ["tags", "novalue"],
    ["tags", "=x"],
    ["tags", "a<b=c"],
    ["tags", `a=${"x".repeat(257)}`],
    ["authority-host", "http://login.example"],
  ])("%s refuses %j and says what it takes", (flag, value) => {
    expect(verdict(flag, value)).toEqual(expect.any(String));
  });
});

describe("the configuration", () => {
  test("a secret signs in with the secret, a token file with workload identity", () => {
    expect(readConfig(reader(SOUND)).identity.kind).toBe("secret");
    const workload = { ...SOUND, secret: "", "federated-token-file": "/var/run/token" };
    expect(readConfig(reader(workload)).identity).toMatchObject({
      kind: "workload",
      clientId: UUID,
      tokenFile: "/var/run/token",
    });
  });

  test("the node's own identity is used only when asked for", () => {
    expect(() => readConfig(reader({ ...SOUND, secret: "" }))).toThrow(/AZURE_USE_MANAGED_IDENTITY=true/);
    const managed = { ...SOUND, secret: "", clientid: "", tenantid: "", "use-managed-identity": "true" };
    expect(readConfig(reader(managed)).identity).toEqual({ kind: "managed", clientId: "" });
  });

  test.each([
    ["clientid", "AZURE_CLIENT_ID"],
    ["tenantid", "AZURE_TENANT_ID"],
    ["subscriptionid", "AZURE_SUBSCRIPTION_ID"],
    ["region", "AZURE_REGION"],
    ["resourcegroup", "AZURE_RESOURCE_GROUP"],
    ["subnetid", "AZURE_SUBNET_ID"],
    ["imageid", "AZURE_IMAGE_ID"],
  ])("without %s the error names %s", (flag, key) => {
    expect(() => readConfig(reader({ ...SOUND, [flag]: "" }))).toThrow(
      expect.objectContaining({ kind: "invalid-config", message: expect.stringContaining(key) }),
    );
  });

  test("a subnet in another subscription is refused", () => {
    const subnetid = SUBNET.replace(UUID, UUID.replace("1", "9"));
    expect(() => readConfig(reader({ ...SOUND, subnetid }))).toThrow(/AZURE_SUBNET_ID is in subscription 9/);
  });

  test("an ordinary size must be allowed", () => {
    const values = { ...SOUND, "ordinary-instance-sizes": "Standard_D2s_v5" };
    expect(() => readConfig(reader(values))).toThrow(/AZURE_INSTANCE_SIZES does not allow/);
  });

  test("items of lists are trimmed", () => {
    const values = { ...SOUND, "instance-sizes": "A, B ,,", zone: " 1, 2" };
    expect(readConfig(reader(values))).toMatchObject({ allowedSizes: ["A", "B"], zones: ["1", "2"] });
  });
});
