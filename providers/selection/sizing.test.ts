import { describe, expect, test } from "vitest";
import { FakeAccount } from "../../test/fakes/azure/index.ts";
import { never, quiet, testRequest } from "../azure/testing.ts";
import { applySizing, parseSizingPolicy, withSizing } from "./sizing.ts";

const asked = { machineType: "", vcpus: 3, memoryMiB: 4096, gpus: 1 };

describe("POD_VM_SIZING", () => {
  test.each([
    ["", "upstream"],
    ["upstream", "upstream"],
    [" aks ", "aks"],
  ])("%j is %s", (text, policy) => {
    expect(parseSizingPolicy(text)).toBe(policy);
  });

  test("another value is refused by name", () => {
    expect(() => parseSizingPolicy("AKS2")).toThrow(/POD_VM_SIZING is "AKS2": use upstream or aks/);
  });

  test("upstream takes what the webhook summed", () => {
    expect(applySizing("upstream", asked)).toEqual(asked);
  });

  test("aks adds one vCPU and two GB for the VM itself", () => {
    expect(applySizing("aks", asked)).toEqual({ ...asked, vcpus: 4, memoryMiB: 6144 });
  });

  test("aks gives a pod without limits the base alone", () => {
    expect(applySizing("aks", { ...asked, vcpus: 0, memoryMiB: 0, gpus: 0 })).toMatchObject({
      vcpus: 1,
      memoryMiB: 2048,
    });
  });

  test("an explicit machine type is left alone", () => {
    const explicit = { ...asked, machineType: "Standard_DC4as_v5" };
    expect(applySizing("aks", explicit)).toEqual(explicit);
  });
});

test("a provider with a policy is asked for larger VMs and is otherwise the same", async () => {
  const account = new FakeAccount();
  const provider = withSizing(await account.provider(), "aks");
  const size = { machineType: "", vcpus: 2, memoryMiB: 8192, gpus: 0 };
  await provider.create(testRequest({ size }), quiet());
  expect(account.azure.world.vms.all().map((vm) => vm.size)).toEqual(["Standard_DC4as_v5"]);
  expect(await provider.quota?.(never())).toBeGreaterThan(0);
  await provider.delete({ name: testRequest().name }, never());
  expect(account.azure.resources()).toEqual([]);
});
