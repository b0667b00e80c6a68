import { expect, test } from "vitest";
import { parsePool, poolKind, sizeOfKind } from "./pool-kinds.ts";

const none = { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 };

test("POD_VM_POOL is a number, or a number for each kind", () => {
  expect(parsePool(["2"])).toEqual([{ kind: "default", count: 2 }]);
  expect(parsePool(["default=1", "Standard_DC4as_v5=2", "2x4096@/images/a=b=3"])).toEqual([
    { kind: "default", count: 1 },
    { kind: "Standard_DC4as_v5", count: 2 },
    { kind: "2x4096@/images/a=b", count: 3 },
  ]);
});

test.each([["two"], ["default="], ["=2"], ["default=-1"], ["default=1001"], ["@image=1"]])(
  "%s is refused with what is accepted",
  (item) => {
    expect(() => parsePool([item])).toThrow(`POD_VM_POOL: ${JSON.stringify(item)} is not understood; give N`);
  },
);

test("a kind that is given twice is refused", () => {
  expect(() => parsePool(["1", "default=2"])).toThrow("POD_VM_POOL: default is given twice");
});

test("a pod and the VM that waits for it mean the same kind", () => {
  for (const [size, image, kind] of [
    [none, "", "default"],
    [{ ...none, machineType: "bx2-2x8" }, "", "bx2-2x8"],
    [{ ...none, vcpus: 2, memoryMiB: 4096 }, "img", "2x4096@img"],
    [{ ...none, vcpus: 3 }, "", "3x0"],
  ] as const) {
    expect(poolKind({ size, image })).toBe(kind);
    expect(sizeOfKind(kind)).toEqual({ size, image });
  }
});

test("a pod with a GPU or with EPC is not served from a pool", () => {
  expect(poolKind({ size: { ...none, gpus: 1 }, image: "" })).toBeUndefined();
  expect(poolKind({ size: { ...none, machineType: "big", epcMiB: 8 }, image: "" })).toBeUndefined();
});
