import { describe, expect, test } from "vitest";
import { planTunnel } from "./plan.ts";

const network = { netns: "/run/netns/cni-1", podInterface: "eth0", vxlanPort: 4789, dedicated: false };

describe("a tunnel's plan", () => {
  test("is plain data that comes back from JSON unchanged", () => {
    const plan = planTunnel({ network, vxlanId: 555_000, vmAddresses: ["192.0.2.10"] });
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
    expect(plan).toMatchObject({ device: "vxlan1", vxlanId: 555_000, remoteAddress: "192.0.2.10" });
    expect(plan.rules.map((rule) => rule.comment)).toEqual(["peerpod [vni:555000]", "peerpod [vni:555000]"]);
  });

  test("with a dedicated interface leads to the VM's second address, and needs it", () => {
    const dedicated = { ...network, dedicated: true };
    const plan = planTunnel({ network: dedicated, vxlanId: 1, vmAddresses: ["192.0.2.10", "198.51.100.6"] });
    expect(plan.remoteAddress).toBe("198.51.100.6");
    expect(() => planTunnel({ network: dedicated, vxlanId: 1, vmAddresses: ["192.0.2.10"] })).toThrow(
      /needs a second address; it has 1/,
    );
  });

  test.each([
    [{ vmAddresses: [] }, /the pod VM has no address/],
    [{ vmAddresses: ["fd00::1"] }, /"fd00::1" is not IPv4/],
    [{ vmAddresses: ["192.0.2.10\n-X"] }, /is not IPv4/],
    [{ vxlanId: 0 }, /0 is not a VXLAN id/],
    [{ vxlanId: 2 ** 24 }, /16777216 is not a VXLAN id/],
    [{ network: { ...network, podInterface: "vxlan1" } }, /cannot be called "vxlan1"/],
    [{ network: { ...network, podInterface: "eth0 up" } }, /cannot be called "eth0 up"/],
  ])("is not made of %j", (change, message) => {
    const input = { network, vxlanId: 1, vmAddresses: ["192.0.2.10"], ...change };
    expect(() => planTunnel(input)).toThrow(message);
  });
});
