import { describe, expect, test } from "vitest";
import { FakeAccount } from "../../test/fakes/azure/index.ts";
import { operationOf } from "./arm/operation.ts";
import { never, quiet, testRequest } from "./testing.ts";

const GROUP = "https://management.azure.com/subscriptions/s/resourceGroups/g";
const COMPUTE = "https://management.azure.com/subscriptions/s/providers/Microsoft.Compute";

describe("the name of an operation has no id in it", () => {
  test.each([
    [
      "PUT",
      `${GROUP}/providers/Microsoft.Compute/virtualMachines/podvm-a?api-version=1`,
      "virtualMachines.put",
    ],
    ["GET", `${GROUP}/providers/Microsoft.Compute/virtualMachines`, "virtualMachines.list"],
    ["GET", `${GROUP}/providers/Microsoft.Network/networkInterfaces/n`, "networkInterfaces.get"],
    ["DELETE", `${GROUP}/providers/Microsoft.Network/publicipaddresses/n`, "publicIPAddresses.delete"],
    ["GET", `${COMPUTE}/locations/westeurope/usages`, "usages.list"],
    ["GET", `${COMPUTE}/locations/westeurope/operations/0f1e`, "operations.get"],
    ["GET", `${COMPUTE}/skus?%24filter=x`, "skus.list"],
    ["GET", `${GROUP}/providers/Microsoft.Network/virtualNetworks/v/subnets/s`, "subnets.get"],
    ["POST", `${GROUP}/providers/Microsoft.Unheard/things/t/do`, "other.post"],
  ])("%s %s is %s", (method, url, operation) => {
    expect(operationOf(method, url)).toBe(operation);
  });
});

test("every try of a call is told, with what came of it and whether it repeats one", async () => {
  const account = new FakeAccount();
  const provider = await account.provider();
  account.azure.fault({ on: "create", kind: 429, retryAfterMs: 1000 });
  await provider.create(testRequest(), quiet());
  const creates = account.told.filter(({ operation }) => operation === "virtualMachines.put");
  expect(creates).toMatchObject([
    { outcome: "throttled", repeated: false },
    { outcome: "ok", repeated: true },
  ]);
  const signIns = account.told.filter(({ operation }) => operation === "token.get");
  expect(signIns).toMatchObject([{ outcome: "ok" }]);
  expect(account.told).toHaveLength(account.azure.calls.length + signIns.length);
  expect(account.told.filter(({ operation }) => operation.startsWith("other"))).toEqual([]);
});

test("what is not there, what is refused and what gave no answer are told apart", async () => {
  const account = new FakeAccount();
  const provider = await account.provider();
  await provider.get({ name: "podvm-none-00000000" }, never());
  account.azure.fault({ on: "read", kind: 403 });
  await expect(provider.get({ name: "podvm-none-00000000" }, never())).rejects.toThrow();
  account.azure.fault({ on: "read", kind: "cut" });
  await provider.get({ name: "podvm-none-00000000" }, never());
  const outcomes = new Set(account.told.map(({ outcome }) => outcome));
  expect([...outcomes].toSorted()).toEqual(["not-found", "ok", "unauthorised", "unavailable"]);
});
