import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { podVmName } from "./vm-name.ts";

describe("a VM's name", () => {
  test.each([
    ["pod1", "999", "podvm-pod1-999"],
    ["My_Pod.v1", "ABCDEF1234567890", "podvm-my-pod-v1-abcdef12"],
    ["a".repeat(60), "0123456789ab", `podvm-${"a".repeat(48)}-01234567`],
    ["a".repeat(48), "0123456789ab", `podvm-${"a".repeat(48)}-01234567`],
    ["r2", "66e64b32f0", "podvm-r2-66e64b32"],
  ])("of pod %s and sandbox %s is the Go adaptor's", (pod, sandbox, name) => {
    expect(podVmName(pod, sandbox)).toBe(name);
  });

  test("is a DNS label whatever the pod is called", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.stringMatching(/^[0-9a-f]{64}$/), (pod, sandbox) => {
        expect(podVmName(pod, sandbox)).toMatch(/^podvm-[a-z0-9-]*-[0-9a-f]{8}$/);
        expect(podVmName(pod, sandbox).length).toBeLessThanOrEqual(63);
      }),
    );
  });
});
