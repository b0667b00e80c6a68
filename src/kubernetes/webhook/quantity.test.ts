import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NANO_PER_UNIT, parseQuantity, wholeMiB, wholeMillis, wholeUnits } from "./quantity.ts";

const CAP = (2n ** 63n - 1n) * NANO_PER_UNIT;

describe("a quantity", () => {
  test.each([
    ["0", 0n],
    ["1", 1_000_000_000n],
    ["+1", 1_000_000_000n],
    ["-1", -1_000_000_000n],
    [".5", 500_000_000n],
    ["5.", 5_000_000_000n],
    ["250m", 250_000_000n],
    ["7u", 7_000n],
    ["3n", 3n],
    ["0.1n", 1n],
    ["-0.1n", -1n],
    ["0.0000000001", 1n],
    ["1k", 1_000n * NANO_PER_UNIT],
    ["100M", 100_000_000n * NANO_PER_UNIT],
    ["1Ki", 1024n * NANO_PER_UNIT],
    ["1.5Gi", 1_610_612_736n * NANO_PER_UNIT],
    ["1.1Ki", 1_126_400_000_000n],
    ["1e3", 1_000n * NANO_PER_UNIT],
    ["1E3", 1_000n * NANO_PER_UNIT],
    ["12e-3", 12_000_000n],
    ["1E", 10n ** 18n * NANO_PER_UNIT],
    ["1Ei", 2n ** 60n * NANO_PER_UNIT],
    ["1073741825", 1_073_741_825n * NANO_PER_UNIT],
    ["9223372036854775808", CAP],
    ["1e999999999999", CAP],
    ["0e999999999999", 0n],
    ["1e-999999999999", 1n],
  ])("%s is read exactly", (text, nano) => {
    expect(parseQuantity(text)).toBe(nano);
  });

  test.each([
    "",
    ".",
    "+",
    "m",
    "1mm",
    "1 Gi",
    " 1",
    "1ki",
    "1KI",
    "0x10",
    "1e",
    "1e+",
    "1_000",
    "1,5",
    "--1",
    "NaN",
    "1".repeat(200),
  ])("%j is none", (text) => {
    expect(parseQuantity(text)).toBeUndefined();
  });

  const suffixes = [
    ["n", 1n],
    ["u", 10n ** 3n],
    ["m", 10n ** 6n],
    ["", 10n ** 9n],
    ["k", 10n ** 12n],
    ["M", 10n ** 15n],
    ["Ki", 10n ** 9n * 2n ** 10n],
    ["Mi", 10n ** 9n * 2n ** 20n],
    ["Gi", 10n ** 9n * 2n ** 30n],
  ] as const;

  test("means the same in every notation that can express it", () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 10n ** 6n }),
        fc.constantFrom(...suffixes),
        fc.nat({ max: 12 }),
        (value, [suffix, weight], zeros) => {
          const nano = value * weight;
          const expected = nano > CAP ? CAP : nano;
          expect(parseQuantity(`${value}${suffix}`)).toBe(expected);
          expect(parseQuantity(`${value}.${"0".repeat(zeros)}${suffix}`)).toBe(expected);
          expect(parseQuantity(`${value}${"0".repeat(zeros)}e-${zeros}`)).toBe(value * NANO_PER_UNIT);
        },
      ),
    );
  });

  test("is rounded up by less than one step", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: CAP }), (nano) => {
        const steps = [
          [wholeUnits(nano), NANO_PER_UNIT],
          [wholeMillis(nano), 1_000_000n],
          [wholeMiB(nano), NANO_PER_UNIT * 2n ** 20n],
        ] as const;
        for (const [count, step] of steps) {
          expect(count * step >= nano).toBe(true);
          expect(count * step - nano < step).toBe(true);
        }
      }),
    );
  });

  test("of any text is read or refused, never an exception", () => {
    fc.assert(
      fc.property(fc.string(), fc.stringMatching(/^[-+.0-9eEKMGTPkmnui]{0,24}$/), (a, b) => {
        for (const text of [a, b]) {
          const value = parseQuantity(text);
          expect(value === undefined || (value <= CAP && value >= -CAP)).toBe(true);
        }
      }),
    );
  });
});
