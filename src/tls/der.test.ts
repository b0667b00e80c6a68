import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bitString, integer, octetString, oid, time } from "./der.ts";

describe("DER", () => {
  test("object identifiers are written as X.690 shows them", () => {
    expect(oid("1.2.840.10045.4.3.2").toString("hex")).toBe("06082a8648ce3d040302");
    expect(oid("2.5.29.15").toString("hex")).toBe("0603551d0f");
  });

  test("an integer has the fewest bytes and never looks negative", () => {
    expect(integer(Buffer.from("00", "hex")).toString("hex")).toBe("020100");
    expect(integer(Buffer.from("0000017f", "hex")).toString("hex")).toBe("0202017f");
    expect(integer(Buffer.from("ff", "hex")).toString("hex")).toBe("020200ff");
  });

  test("any non-negative integer comes back from its encoding", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (bytes) => {
        const encoded = integer(bytes);
        const value = BigInt(`0x${encoded.subarray(2).toString("hex")}`);
        expect(value).toBe(BigInt(`0x${Buffer.from(bytes).toString("hex")}`));
        expect(encoded[1]).toBe(encoded.length - 2);
        expect((encoded[2] ?? 0) < 0x80).toBe(true);
      }),
    );
  });

  test("lengths from 128 on take the long form", () => {
    expect(octetString(Buffer.alloc(127)).subarray(0, 2).toString("hex")).toBe("047f");
    expect(octetString(Buffer.alloc(128)).subarray(0, 3).toString("hex")).toBe("048180");
    expect(octetString(Buffer.alloc(300)).subarray(0, 4).toString("hex")).toBe("0482012c");
  });

  test("a bit string says how many bits do not count", () => {
    expect(bitString(Buffer.of(0x84), 2).toString("hex")).toBe("03020284");
  });

  test("times are UTCTime up to 2049 and GeneralizedTime from 2050", () => {
    expect(time(Date.UTC(2049, 11, 31, 23, 59, 59, 999)).toString("latin1")).toBe("\x17\x0d491231235959Z");
    expect(time(Date.UTC(2050, 0, 1)).toString("latin1")).toBe("\x18\x0f20500101000000Z");
  });
});
