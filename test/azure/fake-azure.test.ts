import { describe, expect, test } from "vitest";
import { FakeAzure, GROUP, IMAGE, SSH_KEY, SUBSCRIPTION } from "../fakes/azure/index.ts";
import { VirtualClock } from "../fakes/clock/index.ts";

/*
 * The fake must refuse what Azure refuses, or a provider that passes on it proves nothing. The bodies here are written by hand
 * from the published definitions, not by the provider.
 */

const GROUP_PATH = `/subscriptions/${SUBSCRIPTION}/resourceGroups/${GROUP}/providers`;
const VM_PATH = `${GROUP_PATH}/Microsoft.Compute/virtualMachines/vm-1`;
const NETWORK = `/subscriptions/${SUBSCRIPTION}/resourceGroups/net/providers/Microsoft.Network`;
type Json = Record<string, unknown>;

/** A body that Azure takes. */
function soundBody(): { location: string; properties: Record<string, Json> } & Json {
  return {
    location: "eastus",
    tags: { a: "b" },
    properties: {
      hardwareProfile: { vmSize: "Standard_DC2as_v5" },
      storageProfile: {
        imageReference: { id: IMAGE },
        osDisk: {
          name: "vm-1-disk",
          createOption: "FromImage",
          deleteOption: "Delete",
          managedDisk: {
            storageAccountType: "Premium_LRS",
            securityProfile: { securityEncryptionType: "VMGuestStateOnly" },
          },
        },
      },
      osProfile: {
        computerName: "vm-1",
        adminUsername: "peerpod",
        linuxConfiguration: {
          disablePasswordAuthentication: true,
          ssh: { publicKeys: [{ path: "/home/peerpod/.ssh/authorized_keys", keyData: SSH_KEY }] },
        },
      },
      networkProfile: {
        networkApiVersion: "2020-11-01",
        networkInterfaceConfigurations: [
          {
            name: "vm-1-net",
            properties: {
              deleteOption: "Delete",
              ipConfigurations: [
                {
                  name: "ip",
                  properties: { subnet: { id: `${NETWORK}/virtualNetworks/vnet/subnets/podvms` } },
                },
              ],
            },
          },
        ],
      },
      securityProfile: {
        securityType: "ConfidentialVM",
        uefiSettings: { secureBootEnabled: true, vTpmEnabled: true },
      },
    },
  };
}

interface Call {
  readonly method?: string;
  readonly path?: string;
  readonly query?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

async function call(
  azure: FakeAzure,
  given: Call = {},
): Promise<{ status: number; code: string; body: Json; headers: Json }> {
  const {
    method = "PUT",
    path = VM_PATH,
    query = "api-version=2026-04-01",
    body = soundBody(),
    headers = {},
  } = given;
  const token = azure.issueToken().token;
  const answer = await azure.handle(
    {
      method,
      url: new URL(`https://management.test${path}?${query}`),
      headers: new Map(Object.entries({ authorization: `Bearer ${token}`, ...headers })),
      body: typeof body === "string" ? body : JSON.stringify(body),
    },
    new AbortController().signal,
  );
  const parsed: unknown = answer.body === "" ? {} : JSON.parse(answer.body);
  const read: Json = typeof parsed === "object" && parsed !== null ? { ...parsed } : {};
  const error = read["error"];
  const code = typeof error === "object" && error !== null ? String(Reflect.get(error, "code")) : "";
  return { status: answer.status, code, body: read, headers: { ...answer.headers } };
}

const fake = (settings: ConstructorParameters<typeof FakeAzure>[0]["settings"] = {}): FakeAzure =>
  new FakeAzure({ clock: new VirtualClock(), settings });

/** The sound body with one change; `path` is made of keys and indexes. */
function changed(path: readonly (string | number)[], value: unknown): unknown {
  const body: unknown = soundBody();
  let at: unknown = body;
  for (const key of path.slice(0, -1)) if (typeof at === "object" && at !== null) at = Reflect.get(at, key);
  if (typeof at === "object" && at !== null) Reflect.set(at, path.at(-1) ?? "", value);
  return body;
}

test("a sound body is taken: 201, and an operation to watch", async () => {
  const made = await call(fake());
  expect(made.status).toBe(201);
  expect(made.headers["azure-asyncoperation"]).toMatch(/^https:.*\/operations\/.*api-version=2026-04-01$/);
  expect(made.body).toMatchObject({ name: "vm-1", properties: { provisioningState: "Creating" } });
  expect(JSON.stringify(made.body)).not.toContain("userData");
});

describe("members that the definition does not have are refused", () => {
  const nic = ["properties", "networkProfile", "networkInterfaceConfigurations", 0] as const;
  test.each([
    [["colour"]],
    [["hardwareProfile"]],
    [["properties", "hardwareprofile"]],
    [["properties", "provisioningState"]],
    [["properties", "storageProfile", "osDisk", "securityProfile"]],
    [["properties", "osProfile", "linuxConfiguration", "sshKey"]],
    [[...nic, "deleteOption"]],
    [[...nic, "properties", "subnet"]],
    [[...nic, "properties", "ipConfigurations", 0, "subnet"]],
    [["properties", "securityProfile", "secureBootEnabled"]],
  ])("%j", async (path) => {
    expect(await call(fake(), { body: changed(path, { id: "x" }) })).toMatchObject({
      status: 400,
      code: "InvalidRequestContent",
    });
  });
});

describe("values that the definition does not take are refused", () => {
  test.each([
    [["properties", "storageProfile", "osDisk", "deleteOption"], "delete"],
    [["properties", "storageProfile", "osDisk", "diskSizeGB"], "30"],
    [["properties", "storageProfile", "osDisk", "createOption"], undefined],
    [["properties", "networkProfile", "networkApiVersion"], "2025-05-01"],
    [["properties", "securityProfile", "securityType"], "Confidential"],
    [["properties", "userData"], "#cloud-config"],
    [["properties", "userData"], "A".repeat(65_540)],
    [["properties", "osProfile", "computerName"], `${"a".repeat(65)}`],
    [["tags"], { "a/b": "c" }],
    [["tags"], Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`t${n}`, "v"]))],
    [["zones"], ["1", "2"]],
    [["location"], undefined],
  ])("%j", async (path, value) => {
    const { status, code } = await call(fake(), { body: changed(path, value) });
    expect([status, code]).toEqual([400, "InvalidParameter"]);
  });
});

describe("what must go together", () => {
  test.each([
    [
      "networkApiVersion with implicit interfaces",
      ["properties", "networkProfile", "networkApiVersion"],
      undefined,
      400,
      "InvalidParameter",
    ],
    [
      "a confidential size",
      ["properties", "hardwareProfile", "vmSize"],
      "Standard_D2s_v5",
      400,
      "BadRequest",
    ],
    [
      "an SGX size is not confidential",
      ["properties", "hardwareProfile", "vmSize"],
      "Standard_DC2s_v3",
      400,
      "BadRequest",
    ],
    [
      "encryption of the VM's state",
      ["properties", "storageProfile", "osDisk", "managedDisk"],
      {},
      400,
      "BadRequest",
    ],
    ["a vTPM", ["properties", "securityProfile", "uefiSettings"], { vTpmEnabled: false }, 400, "BadRequest"],
    ["security type with that encryption", ["properties", "securityProfile"], undefined, 400, "BadRequest"],
    [
      "an image that is there",
      ["properties", "storageProfile", "imageReference"],
      { id: `${IMAGE}0` },
      404,
      "GalleryImageNotFound",
    ],
    [
      "one image",
      ["properties", "storageProfile", "imageReference"],
      { id: IMAGE, publisher: "x" },
      400,
      "InvalidParameter",
    ],
    [
      "a size that is sold",
      ["properties", "hardwareProfile", "vmSize"],
      "Standard_M1",
      409,
      "SkuNotAvailable",
    ],
    ["a zone that has it", ["zones"], ["7"], 409, "SkuNotAvailable"],
    [
      "an interface",
      ["properties", "networkProfile"],
      { networkApiVersion: "2020-11-01" },
      400,
      "InvalidParameter",
    ],
    [
      "a key",
      ["properties", "osProfile", "linuxConfiguration"],
      { disablePasswordAuthentication: true },
      400,
      "InvalidParameter",
    ],
  ] as const)("%s", async (_name, path, value, status, code) => {
    expect(await call(fake(), { body: changed(path, value) })).toMatchObject({ status, code });
  });
});

describe("the envelope", () => {
  test.each([
    ["no version", { query: "" }, 400, "MissingApiVersionParameter"],
    ["another version", { query: "api-version=2022-11-01" }, 400, "InvalidResourceType"],
    ["no JSON", { body: "{" }, 400, "InvalidRequestContent"],
    ["another condition", { headers: { "if-none-match": "abc" } }, 400, "InvalidHeaderValue"],
    ["no token", { headers: { authorization: "" } }, 401, "AuthenticationFailed"],
    ["a made-up token", { headers: { authorization: "Bearer x" } }, 401, "InvalidAuthenticationToken"],
    ["another subscription", { path: VM_PATH.replace(SUBSCRIPTION, "9") }, 404, "SubscriptionNotFound"],
    ["another group", { path: VM_PATH.replace(GROUP, "other") }, 404, "ResourceGroupNotFound"],
    ["another type", { path: VM_PATH.replace("virtualMachines", "snapshots") }, 404, "InvalidResourceType"],
    ["a VM that is not there", { method: "GET" }, 404, "ResourceNotFound"],
  ] as const)("%s", async (_name, given, status, code) => {
    expect(await call(fake(), given)).toMatchObject({ status, code });
  });

  test("an existing VM meets If-None-Match with 412", async () => {
    const azure = fake();
    await call(azure);
    expect(await call(azure, { headers: { "if-none-match": "*" } })).toMatchObject({
      status: 412,
      code: "PreconditionFailed",
    });
  });

  test("a token ends", async () => {
    const clock = new VirtualClock();
    const azure = new FakeAzure({ clock });
    const { token } = azure.issueToken(60_000);
    await clock.sleep(61_000);
    const answer = await call(azure, { headers: { authorization: `Bearer ${token}` } });
    expect(answer).toMatchObject({ status: 401, code: "ExpiredAuthenticationToken" });
  });

  test("lists come in pages that link to the next", async () => {
    const azure = fake({ pageSize: 2 });
    for (const n of [1, 2, 3]) {
      const body: unknown = JSON.parse(JSON.stringify(soundBody()).replaceAll("vm-1", `vm-${n}`));
      await call(azure, { path: VM_PATH.replace("vm-1", `vm-${n}`), body });
    }
    const list = { method: "GET", path: VM_PATH.replace("/vm-1", "") };
    const first = await call(azure, list);
    expect(first.body["value"]).toHaveLength(2);
    const next = new URL(String(first.body["nextLink"]));
    const second = await call(azure, { ...list, query: next.search.slice(1) });
    expect(second.body["value"]).toHaveLength(1);
    expect(second.body).not.toHaveProperty("nextLink");
  });
});

test("what hangs on a VM cannot be deleted before it, nor for three minutes after it failed", async () => {
  const clock = new VirtualClock();
  const azure = new FakeAzure({ clock, settings: { bootFailures: 1, forget: ["nic"] } });
  await call(azure);
  const nic = {
    method: "DELETE",
    path: `${GROUP_PATH}/Microsoft.Network/networkInterfaces/vm-1-net`,
    query: "api-version=2026-01-01",
  };
  expect(await call(azure, nic)).toMatchObject({ status: 400, code: "NicInUse" });
  await clock.sleep(30_000);
  expect(await call(azure, { method: "DELETE" })).toMatchObject({ status: 202 });
  await clock.sleep(30_000);
  expect(await call(azure, nic)).toMatchObject({ status: 400, code: "NicReservedForAnotherVm" });
  await clock.sleep(180_000);
  expect(await call(azure, nic)).toMatchObject({ status: 202 });
  expect(await call(azure, { method: "DELETE" })).toMatchObject({ status: 204 });
});
