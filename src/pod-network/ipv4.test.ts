import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { comparePrefixes, formatPrefix, isIpv4, network, parsePrefix } from "./ipv4.ts";

describe("IPv4 prefixes", () => {
  test.each(["1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "a.b.c.d", "", "::1", "1.2.3.4 "])(
    "%j is no address",
    (text) => {
      expect(isIpv4(text)).toBe(false);
    },
  );

  test.each(["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8/9", "10.0.0.0/-1", "fd00::/8"])(
    "%j is no prefix",
    (text) => {
      expect(parsePrefix(text)).toBeUndefined();
    },
  );

  test("are read with and without their length", () => {
    expect(parsePrefix("default")).toEqual({ address: "0.0.0.0", bits: 0 });
    expect(parsePrefix("169.254.1.1")).toEqual({ address: "169.254.1.1", bits: 32 });
  });

  test("lose their host bits", () => {
    expect(formatPrefix(network({ address: "10.96.5.5", bits: 12 }))).toBe("10.96.0.0/12");
    expect(formatPrefix(network({ address: "255.255.255.255", bits: 1 }))).toBe("128.0.0.0/1");
    fc.assert(
      fc.property(fc.ipV4(), fc.integer({ min: 0, max: 32 }), (address, bits) => {
        const once = network({ address, bits });
        expect(network(once)).toEqual(once);
        expect(isIpv4(once.address)).toBe(true);
      }),
    );
  });

  test("are sorted by address, then by length", () => {
    const sorted = ["10.0.0.0/16", "10.0.0.0/8", "9.255.0.0/16", "default"]
      .map((text) => parsePrefix(text))
      .filter((prefix) => prefix !== undefined)
      .toSorted(comparePrefixes);
    expect(sorted.map(formatPrefix)).toEqual(["0.0.0.0/0", "9.255.0.0/16", "10.0.0.0/8", "10.0.0.0/16"]);
  });
});
