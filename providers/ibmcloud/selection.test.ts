import { describe, expect, test } from "vitest";
import { type ErrorKind, isCaaError } from "../../src/errors/index.ts";
import {
  FakeAccount,
  fakeImage,
  IMAGE,
  IMAGE_SE,
  IMAGE_Z,
  LIST_J,
  LIST_Z,
} from "../../test/fakes/ibmcloud/index.ts";
import type { VmSize } from "../contract.ts";
import type { IbmConfig } from "./config.ts";
import { NOTHING, quiet, testRequest } from "./testing.ts";

interface Outcome {
  readonly profile?: string;
  readonly image?: string;
  readonly error?: ErrorKind;
}

/** What the cloud was asked for, or how the create failed. */
async function outcomeOf(
  config: Partial<IbmConfig>,
  size: Partial<VmSize>,
  more: { readonly account?: FakeAccount; readonly image?: string } = {},
): Promise<Outcome> {
  const account = more.account ?? new FakeAccount();
  const provider = await account.provider({ imageIds: [IMAGE, IMAGE_Z], ...config });
  const request = testRequest({ size: { ...NOTHING, ...size }, image: more.image ?? "" });
  const error: unknown = await provider.create(request, quiet()).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (isCaaError(error)) return { error: error.kind };
  if (error) throw new Error("not a CaaError", { cause: error });
  const [made] = [...account.ibm.world.instances.values()];
  return { profile: made?.body.profile?.name ?? "", image: made?.body.image.id ?? "" };
}

const J: Partial<IbmConfig> = { allowedProfiles: LIST_J, defaultProfile: "bx2-2x8" };
const ONLY_DEFAULT: Partial<IbmConfig> = { allowedProfiles: [], defaultProfile: "bx2-2x8" };
const Z: Partial<IbmConfig> = {
  allowedProfiles: LIST_Z,
  defaultProfile: "bz2e-2x8",
  imageIds: [IMAGE, IMAGE_SE],
};

describe("which profile a pod gets", () => {
  const rows: readonly (readonly [
    number,
    string,
    Partial<IbmConfig>,
    Partial<VmSize>,
    string | undefined,
  ])[] = [
    [1, "a type of the list", J, { machineType: "cx2-8x16" }, "cx2-8x16"],
    [2, "a type that is not in the list", J, { machineType: "bx2-8x32" }, undefined],
    [3, "nothing, with no list", ONLY_DEFAULT, {}, "bx2-2x8"],
    [4, "a type, with no list", ONLY_DEFAULT, { machineType: "bx2-4x16" }, undefined],
    [5, "4 vCPU and 8 GiB", J, { vcpus: 4, memoryMiB: 8192 }, "bx2-4x16"],
    [6, "2 vCPU and 9000 MiB", J, { vcpus: 2, memoryMiB: 9000 }, "mx2-2x16"],
    [7, "4 vCPU and 16385 MiB", J, { vcpus: 4, memoryMiB: 16_385 }, "mx2-4x32"],
    [8, "8 vCPU and 8 GiB", J, { vcpus: 8, memoryMiB: 8192 }, "cx2-8x16"],
    [9, "8 vCPU and 1 GiB", J, { vcpus: 8, memoryMiB: 1024 }, "cx2-8x16"],
    [10, "a GPU", J, { gpus: 1 }, undefined],
    [11, "4 vCPU and no memory", J, { vcpus: 4 }, "bx2-4x16"],
    [12, "1 vCPU and 4 GiB on s390x", Z, { vcpus: 1, memoryMiB: 4096 }, "bz2e-1x4"],
    [13, "4 vCPU and 8 GiB on s390x", Z, { vcpus: 4, memoryMiB: 8192 }, "cz2e-4x8"],
    [14, "3 vCPU and 4 GiB on s390x", Z, { vcpus: 3, memoryMiB: 4096 }, "cz2e-4x8"],
    [15, "8 vCPU and 8 GiB on s390x", Z, { vcpus: 8, memoryMiB: 8192 }, "cz2e-8x16"],
    [16, "8 vCPU and 20000 MiB on s390x", Z, { vcpus: 8, memoryMiB: 20_000 }, undefined],
  ];
  test.each(rows)("%i: %s", async (_row, _what, config, size, profile) => {
    expect(await outcomeOf(config, size)).toMatchObject(profile ? { profile } : { error: "invalid-request" });
  });

  test("17: a profile that IBM does not have is found by verify, and refused with its name", async () => {
    const provider = await new FakeAccount().provider({
      defaultProfile: "mycustominstance",
      allowedProfiles: [],
    });
    const findings = await provider.verify(new AbortController().signal);
    expect(findings).toContainEqual(
      expect.objectContaining({ level: "error", text: expect.stringContaining("mycustominstance") }),
    );
    await expect(provider.create(testRequest(), quiet())).rejects.toMatchObject({
      kind: "invalid-config",
      message: expect.stringContaining("mycustominstance"),
    });
  });

  test("a GPU is found by IBM's count, and GPU profiles are left to those who ask", async () => {
    const config = { allowedProfiles: ["gx3-16x80x1l4", "mx2-4x32"] };
    expect(await outcomeOf(config, { gpus: 1 })).toMatchObject({ profile: "gx3-16x80x1l4" });
    expect(await outcomeOf(config, { vcpus: 8 })).toEqual({ error: "invalid-request" });
  });

  test.each(["fixed", "enum", "range", "dependent"] as const)(
    "vCPUs told as %s are understood",
    async (form) => {
      const { profiles } = new FakeAccount().ibm.world.settings;
      const account = new FakeAccount({ profiles: profiles.map((one) => ({ ...one, form })) });
      expect(await outcomeOf(J, { vcpus: 8, memoryMiB: 8192 }, { account })).toMatchObject({
        profile: "cx2-8x16",
      });
    },
  );

  test("profiles are read once for many pods", async () => {
    const account = new FakeAccount();
    const provider = await account.provider();
    const reads = (): number =>
      account.ibm.calls.filter(({ path }) => path.includes("/instance/profiles/")).length;
    await Promise.all(
      [1, 2, 3].map((n) => provider.create(testRequest({ name: `podvm-p-0000000${n}` }), quiet())),
    );
    expect(reads()).toBe(3);
  });
});

describe("which image a VM gets", () => {
  const I = ["i1", "i2", "i3"];
  const amd64 = (...ids: readonly string[]) => ids.map((id) => fakeImage(id));
  const s390x = (id: string) => fakeImage(id, { architecture: "s390x" });

  test.each([
    ["the first of three", amd64(...I), I, "i1"],
    ["the one of the profile's architecture", [s390x("i1"), ...amd64("i2")], ["i1", "i2"], "i2"],
    ["one that exists", amd64("i2"), ["i1", "i2"], "i2"],
    [
      "one that is not obsolete",
      [fakeImage("i1", { status: "obsolete" }), ...amd64("i2")],
      ["i1", "i2"],
      "i2",
    ],
    ["a deprecated one", [fakeImage("i1", { status: "deprecated" })], ["i1"], "i1"],
    [
      "one that takes cloud-init",
      [fakeImage("i1", { userDataFormat: "ipxe" }), ...amd64("i2")],
      ["i1", "i2"],
      "i2",
    ],
    [
      "one that is partially available, here",
      [fakeImage("i1", { status: "partially_available", zones: ["eu-de-1"] })],
      ["i1"],
      "i1",
    ],
    [
      "none that is partially available elsewhere",
      [fakeImage("i1", { status: "partially_available", zones: ["eu-de-3"] }), ...amd64("i2")],
      ["i1", "i2"],
      "i2",
    ],
  ])("%s", async (_what, images, imageIds, image) => {
    const account = new FakeAccount({ images });
    expect(await outcomeOf({ imageIds }, {}, { account })).toMatchObject({ image });
  });

  test.each([
    ["only images of another architecture", [s390x("i1")], ["i1"]],
    ["none that exists", [], ["i1"]],
  ])("%s is an error", async (_what, images, imageIds) => {
    const account = new FakeAccount({ images });
    expect(await outcomeOf({ imageIds }, {}, { account })).toEqual({ error: "invalid-config" });
    const provider = await account.provider({ imageIds });
    expect(await provider.verify(new AbortController().signal)).toContainEqual(
      expect.objectContaining({ check: "images", level: "error" }),
    );
  });

  test("a pod's own image wins, if it fits", async () => {
    const images = [...amd64("i1", "x"), s390x("z")];
    const own = (image: string) =>
      outcomeOf({ imageIds: ["i1"] }, {}, { account: new FakeAccount({ images }), image });
    expect(await own("x")).toMatchObject({ image: "x" });
    expect(await own("z")).toEqual({ error: "invalid-request" });
    expect(await own("missing")).toEqual({ error: "invalid-request" });
  });
});

describe("confidential VMs", () => {
  const TDX: Partial<IbmConfig> = {
    confidential: true,
    allowedProfiles: ["bx2-2x8", "bx3dc-2x10", "bx3dc-4x20"],
  };
  const body = async (config: Partial<IbmConfig>, size: Partial<VmSize> = {}) => {
    const account = new FakeAccount();
    const outcome = await outcomeOf(config, size, { account });
    const [made] = [...account.ibm.world.instances.values()];
    return [
      outcome.profile ?? outcome.error,
      made?.body.confidential_compute_mode,
      made?.body.enable_secure_boot,
    ];
  };

  test("TDX is asked for with secure boot, on profiles that have it only", async () => {
    expect(await body({ ...TDX, defaultProfile: "bx3dc-2x10" })).toEqual(["bx3dc-2x10", "tdx", true]);
    expect(await body({ ...TDX, defaultProfile: "bx3dc-2x10" }, { vcpus: 1 })).toEqual([
      "bx3dc-2x10",
      "tdx",
      true,
    ]);
  });

  test("a profile without TDX is refused with what to choose", async () => {
    const provider = await new FakeAccount().provider(TDX);
    await expect(provider.create(testRequest(), quiet())).rejects.toMatchObject({
      kind: "invalid-request",
      message: expect.stringMatching(/bx2-2x8 has no TDX.*bx3dc.*DISABLECVM=true/),
    });
  });

  test("with DISABLECVM the mode is disabled, also on profiles that have one", async () => {
    expect(await body({})).toEqual(["bx2-2x8", "disabled", false]);
    const config = { defaultProfile: "bx3dc-2x10", allowedProfiles: [] };
    expect(await body(config)).toEqual(["bx3dc-2x10", "disabled", false]);
  });

  test("SGX memory finds a profile by its EPC, in SGX mode and never together with TDX", async () => {
    const config = { defaultProfile: "bx2-2x8", allowedProfiles: ["bx2-2x8", "cx3dc-2x5", "bx3dc-2x10"] };
    expect(await body(config, { epcMiB: 3000 })).toEqual(["bx3dc-2x10", "sgx", false]);
    expect(await body({ ...config, confidential: true }, { epcMiB: 3000 })).toEqual([
      "invalid-request",
      undefined,
      undefined,
    ]);
  });

  test("on s390x neither mode nor secure boot is sent", async () => {
    expect(await body({ ...Z, confidential: true })).toEqual(["bz2e-2x8", undefined, undefined]);
    const plain = { defaultProfile: "bz2-2x8", allowedProfiles: [], imageIds: [IMAGE_Z] };
    expect(await body(plain)).toEqual(["bz2-2x8", undefined, undefined]);
    expect(await body({ ...plain, confidential: true })).toEqual(["invalid-request", undefined, undefined]);
  });

  test.each([
    ["a Secure Execution profile and an ordinary image", "bz2e-2x8", IMAGE_Z],
    ["an ordinary profile and a Secure Execution image", "bz2-2x8", IMAGE_SE],
  ])("%s are refused before anything is made", async (_what, defaultProfile, image) => {
    const account = new FakeAccount();
    const config = {
      defaultProfile,
      allowedProfiles: [],
      imageIds: [IMAGE_Z, IMAGE_SE],
      seImageIds: [IMAGE_SE],
    };
    expect(
      await outcomeOf({ ...config, imageIds: [image], seImageIds: [IMAGE_SE] }, {}, { account }),
    ).toEqual({
      error: "invalid-config",
    });
    expect(await outcomeOf(config, {}, { account, image })).toEqual({ error: "invalid-request" });
    expect(account.ibm.calls.filter(({ kind }) => kind === "create")).toEqual([]);
  });

  test("of ordinary and Secure Execution images each profile gets its own", async () => {
    const config = { imageIds: [IMAGE_Z, IMAGE_SE], seImageIds: [IMAGE_SE], allowedProfiles: [] };
    expect(await outcomeOf({ ...config, defaultProfile: "bz2e-2x8" }, {})).toMatchObject({ image: IMAGE_SE });
    expect(await outcomeOf({ ...config, defaultProfile: "bz2-2x8" }, {})).toMatchObject({ image: IMAGE_Z });
  });

  test("IBM's Hyper Protect image is refused: it takes a contract", async () => {
    const account = new FakeAccount({
      images: [fakeImage("hpcr", { architecture: "s390x", osName: "hyper-protect-1-0-s390x" })],
    });
    const provider = await account.provider({ ...Z, imageIds: ["hpcr"] });
    await expect(provider.create(testRequest(), quiet())).rejects.toThrow(/Hyper Protect.*contract/);
  });

  test("where LinuxONE is closed, verify and create say so", async () => {
    const { profiles } = new FakeAccount().ibm.world.settings;
    const account = new FakeAccount({ profiles: profiles.filter(({ name }) => !name.includes("z2")) });
    const provider = await account.provider(Z);
    const findings = await provider.verify(new AbortController().signal);
    expect(findings).toContainEqual(
      expect.objectContaining({ level: "error", text: expect.stringMatching(/bz2e-2x8.*28 February 2026/) }),
    );
    await expect(provider.create(testRequest(), quiet())).rejects.toThrow(/bz2e-2x8.*28 February 2026/);
  });
});
