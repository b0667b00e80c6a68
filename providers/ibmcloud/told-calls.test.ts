import { describe, expect, test } from "vitest";
import { FakeAccount } from "../../test/fakes/ibmcloud/index.ts";
import { operationOf } from "./api/operation.ts";
import { never, quiet, testRequest } from "./testing.ts";

describe("the name of an operation has no id in it", () => {
  test.each([
    ["POST", "/instances", "instances.post"],
    ["GET", "/instances", "instances.list"],
    ["GET", "/instances/02b7_0123", "instances.get"],
    ["DELETE", "/virtual_network_interfaces/r010", "virtual_network_interfaces.delete"],
    ["GET", "/instance/profiles/bx2-2x8", "instance_profiles.get"],
    ["GET", "/dedicated_host/groups/r010", "dedicated_host_groups.get"],
    ["POST", "/v3/tags/attach", "tags.post"],
    ["GET", "/v2/vpc/getWorkers", "cluster.list"],
    ["GET", "/network/v2/security-group/getSecurityGroups", "cluster.list"],
    ["GET", "/unheard/of", "other.get"],
  ])("%s %s is %s", (method, path, operation) => {
    expect(operationOf(method, path)).toBe(operation);
  });
});

test("every try of a call is told, with what came of it and whether it repeats one", async () => {
  const account = new FakeAccount();
  const provider = await account.provider();
  account.ibm.fault({ on: "create", kind: 429, retryAfterMs: 1000 });
  await provider.create(testRequest(), quiet());
  const creates = account.told.filter(({ operation }) => operation === "instances.post");
  expect(creates).toMatchObject([
    { outcome: "throttled", repeated: false },
    { outcome: "ok", repeated: true },
  ]);
  expect(account.told.filter(({ operation }) => operation.startsWith("other"))).toEqual([]);
});

test("what is not there, what is refused and what gave no answer are told apart", async () => {
  const account = new FakeAccount();
  const provider = await account.provider();
  const ref = { name: "podvm-none-00000000", id: "02b7_none" };
  await provider.get(ref, never());
  account.ibm.fault({ on: "read", kind: 403 });
  await expect(provider.get(ref, never())).rejects.toThrow();
  account.ibm.fault({ on: "read", kind: "cut" });
  await provider.get(ref, never());
  const outcomes = new Set(account.told.map(({ outcome }) => outcome));
  expect(outcomes).toContain("not-found");
  expect(outcomes).toContain("unauthorised");
  expect(outcomes).toContain("unavailable");
});

test("a sign-in that is refused is told, though no call is made", async () => {
  const account = new FakeAccount({ apiKeys: ["another"] });
  const provider = await account.provider();
  await expect(provider.list({ clusterId: "c" }, never())).rejects.toMatchObject({ kind: "unauthorised" });
  expect(account.told).toMatchObject([{ operation: "token.get", outcome: "unauthorised" }]);
});
