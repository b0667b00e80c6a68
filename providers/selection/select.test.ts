import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { VmSize } from "../contract.ts";
import { selectSize } from "./select.ts";
import { azureEpcMiB } from "./sgx.ts";
import { compareSizes, type OfferedSize, type SizeRules } from "./size.ts";

const NOTHING: VmSize = { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 };
const size = (name: string, vcpus: number, memoryMiB: number, gpus = 0): OfferedSize => ({
  name,
  vcpus,
  memoryMiB,
  gpus,
  epcMiB: azureEpcMiB(name),
});
const rules = (offered: readonly OfferedSize[], over: Partial<SizeRules> = {}): SizeRules => ({
  offered,
  allowed: offered.map((one) => one.name),
  defaultSize: "DC2as_v5",
  allowedKey: "AZURE_INSTANCE_SIZES",
  ...over,
});

const A = [
  size("DC2as_v5", 2, 8192),
  size("DC4as_v5", 4, 16_384),
  size("DC8as_v5", 8, 32_768),
  size("DC16as_v5", 16, 65_536),
];
const B = [
  size("D8ls_v5", 8, 16_384),
  size("E2s_v5", 2, 16_384),
  size("E4s_v5", 4, 32_768),
  size("D16ls_v5", 16, 32_768),
];
const listA = rules(A);
const empty = rules(A, { allowed: [] });
const withoutDefault = rules(A, { allowed: ["DC4as_v5", "DC8as_v5", "DC16as_v5"] });
const listB = rules(B);
const odd = rules([size("a", 8, 16_384), size("b", 4, 32_768), size("c", 2, 65_536)]);
const gpus = rules([size("g1", 4, 16_384, 1), size("g2", 8, 32_768, 2), size("c1", 2, 8192)]);
const J = rules(
  [
    size("cx2-8x16", 8, 16_384),
    size("bx2-2x8", 2, 8192),
    size("mx2-2x16", 2, 16_384),
    size("bx2-4x16", 4, 16_384),
    size("mx2-4x32", 4, 32_768),
  ],
  { defaultSize: "bx2-2x8" },
);
const emptyJ = { ...J, allowed: [] };
const Z = rules(
  [
    ["bz2e-1x4", 1, 4096],
    ["bz2e-2x8", 2, 8192],
    ["cz2e-4x8", 4, 8192],
    ["mz2e-2x16", 2, 16_384],
    ["bz2e-4x16", 4, 16_384],
    ["cz2e-8x16", 8, 16_384],
    ["mz2e-4x32", 4, 32_768],
  ].map(([name, vcpus, memory]) => size(String(name), Number(vcpus), Number(memory))),
  { defaultSize: "bz2e-1x4" },
);
const v3 = ["1", "2", "4", "8", "16", "24", "32", "48"].map((n) =>
  size(`Standard_DC${n}s_v3`, Number(n), Number(n) * 8192),
);
const sgx = rules(v3, { defaultSize: "Standard_DC2as_v5" });

type Row = readonly [row: string, rules: SizeRules, request: Partial<VmSize>, expected: string | undefined];
const ask = (vcpus: number, memoryMiB: number): Partial<VmSize> => ({ vcpus, memoryMiB });

describe("the sizes of the Azure reference, row by row (undefined: refused)", () => {
  const rows: readonly Row[] = [
    ["1 explicit type", listA, { machineType: "DC4as_v5" }, "DC4as_v5"],
    ["2 type wins", listA, { machineType: "DC4as_v5", vcpus: 64, gpus: 2 }, "DC4as_v5"],
    ["3 type not allowed", listA, { machineType: "D2s_v3" }, undefined],
    ["4 no list, type is the default", empty, { machineType: "DC2as_v5" }, "DC2as_v5"],
    ["5 no list, another type", empty, { machineType: "DC4as_v5" }, undefined],
    ["6 the default is not on the list", withoutDefault, { machineType: "DC2as_v5" }, undefined],
    ["7 nothing asked for", withoutDefault, {}, "DC2as_v5"],
    ["8 vCPUs only", listA, { vcpus: 3 }, "DC4as_v5"],
    ["9 memory only", listA, { memoryMiB: 9000 }, "DC4as_v5"],
    ["10 exact", listA, ask(2, 8192), "DC2as_v5"],
    ["11 one MiB more", listA, ask(2, 8193), "DC4as_v5"],
    ["12 one vCPU more", listA, ask(3, 8192), "DC4as_v5"],
    ["13 vCPUs decide", listA, ask(8, 16_384), "DC8as_v5"],
    ["14 too many vCPUs", listA, ask(17, 1024), undefined],
    ["15 no GPU size", listA, { gpus: 1 }, undefined],
    ["16", listB, ask(4, 16_384), "D8ls_v5"],
    ["17", listB, ask(8, 8192), "D8ls_v5"],
    ["18", listB, ask(8, 16_384), "D8ls_v5"],
    ["19", listB, ask(2, 16_384), "E2s_v5"],
    ["20 vCPUs fall while memory rises", odd, ask(8, 1024), "a"],
    ["21", gpus, { gpus: 1, vcpus: 1, memoryMiB: 1 }, "g1"],
    ["22", gpus, { gpus: 2, vcpus: 4, memoryMiB: 16_384 }, "g2"],
    ["23", gpus, { gpus: 3 }, undefined],
    ["24 GPU sizes are for GPU pods", gpus, ask(8, 32_768), undefined],
  ];
  test.each(rows)("row %s", (_row, given, request, expected) => {
    const choose = (): string => selectSize(given, { ...NOTHING, ...request }).name;
    if (expected === undefined) expect(choose).toThrow(expect.objectContaining({ kind: "invalid-request" }));
    else expect(choose()).toBe(expected);
  });
});

describe("the profiles of the IBM reference, row by row", () => {
  const rows: readonly Row[] = [
    ["1", J, { machineType: "cx2-8x16" }, "cx2-8x16"],
    ["2", J, { machineType: "bx2-8x32" }, undefined],
    ["3", emptyJ, {}, "bx2-2x8"],
    ["4", emptyJ, { machineType: "bx2-4x16" }, undefined],
    ["5", J, ask(4, 8192), "bx2-4x16"],
    ["6", J, ask(2, 9000), "mx2-2x16"],
    ["7", J, ask(4, 16_385), "mx2-4x32"],
    ["8", J, ask(8, 8192), "cx2-8x16"],
    ["9", J, ask(8, 1024), "cx2-8x16"],
    ["10", J, { gpus: 1 }, undefined],
    ["11", J, { vcpus: 4 }, "bx2-4x16"],
    ["12", Z, ask(1, 4096), "bz2e-1x4"],
    ["13", Z, ask(4, 8192), "cz2e-4x8"],
    ["14", Z, ask(3, 4096), "cz2e-4x8"],
    ["15", Z, ask(8, 8192), "cz2e-8x16"],
    ["16", Z, ask(8, 20_000), undefined],
  ];
  test.each(rows)("row %s", (_row, given, request, expected) => {
    const choose = (): string => selectSize(given, { ...NOTHING, ...request }).name;
    if (expected === undefined) expect(choose).toThrow(expect.objectContaining({ kind: "invalid-request" }));
    else expect(choose()).toBe(expected);
  });
});

describe("SGX", () => {
  const rows: readonly Row[] = [
    ["EPC 10", sgx, { epcMiB: 10 }, "Standard_DC1s_v3"],
    ["EPC 4096", sgx, { epcMiB: 4096 }, "Standard_DC1s_v3"],
    ["EPC 4097", sgx, { epcMiB: 4097 }, "Standard_DC2s_v3"],
    ["EPC 10 with 4 vCPU and 8192 MiB", sgx, { epcMiB: 10, ...ask(4, 8192) }, "Standard_DC4s_v3"],
    ["EPC 131073", sgx, { epcMiB: 131_073 }, "Standard_DC32s_v3"],
    ["EPC 262145", sgx, { epcMiB: 262_145 }, undefined],
    ["no SGX size allowed", listA, { epcMiB: 10 }, undefined],
    ["a type without enough EPC", listA, { epcMiB: 10, machineType: "DC4as_v5" }, undefined],
    ["a type with enough", sgx, { epcMiB: 10, machineType: "Standard_DC8s_v3" }, "Standard_DC8s_v3"],
  ];
  test.each(rows)("%s", (_row, given, request, expected) => {
    const choose = (): string => selectSize(given, { ...NOTHING, ...request }).name;
    if (expected === undefined) expect(choose).toThrow(expect.objectContaining({ kind: "invalid-request" }));
    else expect(choose()).toBe(expected);
  });

  test("a pod that asks for no EPC does not land on an SGX size, which is no confidential VM", () => {
    const mixed = rules([...v3, size("Standard_DC4as_v5", 4, 16_384)], { defaultSize: "Standard_DC4as_v5" });
    expect(selectSize(mixed, { ...NOTHING, vcpus: 1, memoryMiB: 4096 }).name).toBe("Standard_DC4as_v5");
  });

  test("where the default is an SGX size, ordinary pods may have SGX sizes", () => {
    const fleet = rules(v3, { defaultSize: "Standard_DC1s_v3" });
    expect(selectSize(fleet, { ...NOTHING, vcpus: 2 }).name).toBe("Standard_DC2s_v3");
  });

  test.each([
    ["Standard_DC1s_v2", 28],
    ["Standard_DC2s_v2", 56],
    ["Standard_DC4s_v2", 112],
    ["Standard_DC8_v2", 168],
    ["Standard_DC1s_v3", 4096],
    ["Standard_DC1ds_v3", 4096],
    ["Standard_DC2ds_v3", 8192],
    ["Standard_DC4ds_v3", 16_384],
    ["Standard_DC8ds_v3", 32_768],
    ["Standard_DC16ds_v3", 65_536],
    ["Standard_DC24ds_v3", 131_072],
    ["Standard_DC32ds_v3", 196_608],
    ["Standard_DC48ds_v3", 262_144],
    ["Standard_DC2as_v5", 0],
    ["Standard_DC8ds_v2", 0],
  ])("%s has %i MiB", (name, epcMiB) => {
    expect(azureEpcMiB(name)).toBe(epcMiB);
  });
});

describe("alternatives for a size that has no capacity", () => {
  test("a best fit is followed by the larger sizes, smallest first", () => {
    expect(selectSize(listA, { ...NOTHING, vcpus: 3 }).alternatives).toEqual(["DC8as_v5", "DC16as_v5"]);
  });

  test("an explicit machine type has none", () => {
    expect(selectSize(listA, { ...NOTHING, machineType: "DC4as_v5" }).alternatives).toEqual([]);
  });

  test("the default is followed by allowed sizes at least as large, of its own sort", () => {
    const mixed = rules([...A, ...v3, size("g1", 4, 16_384, 1)]);
    expect(selectSize(mixed, NOTHING).alternatives).toEqual(["DC4as_v5", "DC8as_v5", "DC16as_v5"]);
  });
});

test("whatever the list, the choice is allowed, large enough, and none that is smaller would do", () => {
  const anySize = fc.record({
    vcpus: fc.integer({ min: 1, max: 8 }),
    memoryMiB: fc.integer({ min: 1, max: 8 }),
    gpus: fc.integer({ min: 0, max: 2 }),
  });
  fc.assert(
    fc.property(fc.array(anySize, { maxLength: 8 }), anySize, (sizes, wanted) => {
      const offered = sizes.map((one, index) => ({ ...one, name: `s${index}`, epcMiB: 0 }));
      const enough = offered.filter(
        (one) =>
          one.gpus > 0 === wanted.gpus > 0 &&
          one.gpus >= wanted.gpus &&
          one.vcpus >= wanted.vcpus &&
          one.memoryMiB >= wanted.memoryMiB,
      );
      const choose = (): string => selectSize(rules(offered), { ...NOTHING, ...wanted }).name;
      if (enough.length === 0) {
        expect(choose).toThrow();
        return;
      }
      const chosen = enough.find((one) => one.name === choose());
      expect(chosen).toBeDefined();
      if (chosen) for (const other of enough) expect(compareSizes(chosen, other)).toBeLessThanOrEqual(0);
    }),
  );
});

test("a refusal names what was asked for, what there is, and the variable to change", () => {
  expect(() => selectSize(listA, { ...NOTHING, vcpus: 17, memoryMiB: 1024 })).toThrow(
    /17 vCPU, 1024 MiB.*DC16as_v5.*AZURE_INSTANCE_SIZES/,
  );
});
