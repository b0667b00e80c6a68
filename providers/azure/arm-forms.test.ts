import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { normalRegion, parseArmId, sameArm } from "./arm/index.ts";
import { chooseImage } from "./image.ts";
import { readSku } from "./sizes.ts";
import { formatSshRsa, parsePublicKey } from "./ssh-key.ts";

describe("ids", () => {
  test("are taken apart, children included, whatever the case", () => {
    expect(
      parseArmId("/SUBSCRIPTIONS/s/resourcegroups/g/Providers/Microsoft.Network/virtualNetworks/v/subnets/n"),
    ).toEqual({
      subscriptionId: "s",
      resourceGroup: "g",
      type: "Microsoft.Network/virtualNetworks",
      name: "v",
      children: [["subnets", "n"]],
    });
  });

  test.each([
    "",
    "podvm",
    "/subscriptions/s",
    "/subscriptions/s/resourceGroups/g/providers/A/b",
    "a/subscriptions/s/resourceGroups/g/providers/A/b/c",
  ])("%j is none", (text) => {
    expect(parseArmId(text)).toBeUndefined();
  });

  test("are compared as ARM does", () => {
    expect([sameArm("A/b", "a/B"), sameArm(undefined, undefined), sameArm("a", "b")]).toEqual([
      true,
      false,
      false,
    ]);
    expect(normalRegion("East US 2")).toBe("eastus2");
  });
});

describe("images", () => {
  const gallery = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/g/images/i";
  test.each([
    ["/CommunityGalleries/g/Images/i/Versions/1.0.0", "communityGalleryImageId"],
    ["/communitygalleries/g/images/i", "communityGalleryImageId"],
    ["/SharedGalleries/g/Images/i/Versions/1.0.0", "sharedGalleryImageId"],
    [`${gallery}/versions/1.0.0`, "id"],
    [gallery, "id"],
    ["/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/n", "id"],
  ])("%s goes into %s", (text, field) => {
    expect(chooseImage(text)).toEqual({ [field]: text });
  });

  test("a platform image has four parts", () => {
    expect(chooseImage("p:o:s:latest")).toEqual({ publisher: "p", offer: "o", sku: "s", version: "latest" });
  });

  test.each([
    "",
    "podvm",
    "a:b:c",
    "a:b:c:d:e",
    "/CommunityGalleries/g",
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/d",
  ])("%j is refused with the forms that are taken", (text) => {
    expect(() => chooseImage(text)).toThrow(expect.objectContaining({ kind: "invalid-request" }));
  });
});

describe("the list of sizes", () => {
  const sku = {
    resourceType: "virtualMachines",
    name: "Standard_DC2as_v5",
    family: "standardDCASv5Family",
    locationInfo: [{ location: "EastUS", zones: ["3", "1"] }],
    capabilities: [
      { name: "vCPUs", value: "2" },
      { name: "MemoryGB", value: "8" },
      { name: "MaxDataDiskCount", value: "4" },
      { name: "GPUs", value: "1" },
      { name: "ConfidentialComputingType", value: "SNP" },
    ],
  };

  test("gives numbers, zones and kind", () => {
    expect(readSku(sku, "eastus")).toEqual({
      name: "Standard_DC2as_v5",
      vcpus: 2,
      memoryMiB: 8192,
      gpus: 1,
      epcMiB: 0,
      zones: ["1", "3"],
      maxDataDisks: 4,
      confidentialType: "SNP",
      family: "standardDCASv5Family",
    });
  });

  test("a size of half a GB is not rounded away", () => {
    expect(
      readSku({ ...sku, capabilities: [{ name: "MemoryGB", value: "0.75" }] }, "eastus")?.memoryMiB,
    ).toBe(768);
  });

  test("a size that the subscription may not use here is none, in a zone: without that zone", () => {
    const reasonCode = "NotAvailableForSubscription" as const;
    const everywhere = { type: "Location" as const, values: ["eastus"], reasonCode };
    expect(readSku({ ...sku, restrictions: [everywhere] }, "eastus")).toBeUndefined();
    expect(
      readSku({ ...sku, restrictions: [{ ...everywhere, values: ["westus"] }] }, "eastus"),
    ).toBeDefined();
    const zonal = {
      type: "Zone" as const,
      values: ["eastus"],
      restrictionInfo: { zones: ["1"] },
      reasonCode,
    };
    expect(readSku({ ...sku, restrictions: [zonal] }, "eastus")?.zones).toEqual(["3"]);
  });
});

describe("SSH keys", () => {
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });

  test("an RSA key is written in SSH's form", () => {
    const line = formatSshRsa(publicKey);
    expect(parsePublicKey(`${line} someone@host\n`, "key.pub")).toBe(`${line} someone@host`);
    const blob = Buffer.from(line.split(" ")[1] ?? "", "base64");
    const exponentAt = 4 + "ssh-rsa".length;
    const exponentLength = blob.readUInt32BE(exponentAt);
    const modulus = blob.subarray(exponentAt + 4 + exponentLength + 4);
    const jwk = createPublicKey(publicKey.export({ type: "spki", format: "pem" })).export({ format: "jwk" });
    expect(modulus.subarray(1).toString("base64url")).toBe(jwk.n);
  });

  test.each([
    "",
    "ssh-rsa",
    "ssh-rsa AAAA",
    "-----BEGIN PRIVATE KEY-----\nx\n",
    `${formatSshRsa(publicKey)}\nssh-rsa x`,
  ])("%j is refused", (text) => {
    expect(() => parsePublicKey(text, "key.pub")).toThrow(
      expect.objectContaining({ kind: "invalid-config" }),
    );
  });
});
