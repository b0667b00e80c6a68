import { describe, expect, test } from "vitest";
import { Secret } from "../../src/platform/index.ts";
import type { OptionReader } from "../contract.ts";
import { readConfig } from "./config.ts";
import { OPTIONS } from "./options.ts";
import { vmSize } from "./size.ts";
import { isIPv4, netmask, parsePrefix, toAddress } from "./subnet.ts";

/** Options as the command line gives them: the defaults, and these. */
function reader(given: Readonly<Record<string, string>>): OptionReader {
  const text = (flag: string): string => {
    const spec = OPTIONS.find((option) => option.flag === flag);
    if (spec === undefined) throw new Error(`${flag} is not declared`);
    return given[flag] ?? spec.default ?? "";
  };
  return {
    string: text,
    secret: (flag) => new Secret(text(flag)),
    int: (flag) => (text(flag) === "" ? undefined : Number(text(flag))),
    bool: (flag) => text(flag) === "true",
    list: (flag) =>
      text(flag)
        .split(",")
        .filter((item) => item !== ""),
    tags: () => ({}),
    durationMs: (flag) => (text(flag) === "5s" ? 5000 : undefined),
  };
}

describe("the options", () => {
  test("need no more than an image", () => {
    const { network, ssh, launchSecurity, accel } = readConfig(reader({ "kvm-image": "podvm" }));
    expect({ ssh, launchSecurity, accel }).toEqual({
      ssh: undefined,
      launchSecurity: undefined,
      accel: "auto",
    });
    expect(network).toMatchObject({ gateway: "10.177.0.1", dns: ["10.177.0.1"], netmask: "255.255.255.0" });
    expect([toAddress(network.first), toAddress(network.last)]).toEqual(["10.177.0.1", "10.177.0.254"]);
  });

  test.each([
    [{ "kvm-gateway": "10.178.0.1" }, "KVM_GATEWAY"],
    [{ "kvm-addresses": "10.177.0.9-10.177.1.9" }, "KVM_ADDRESSES"],
    [{ "kvm-addresses": "10.177.0.9-10.177.0.8" }, "KVM_ADDRESSES"],
    [{ "kvm-launch-security": "tdx", "kvm-accel": "tcg" }, "KVM_LAUNCH_SECURITY"],
    [{ "kvm-ssh-host": "kvm1" }, "KVM_SSH_KEY"],
    [{ "kvm-ssh-key": "/key" }, "KVM_SSH_HOST"],
  ])("%j is refused by the variable's name", (given, name) => {
    expect(() => readConfig(reader({ "kvm-image": "podvm", ...given }))).toThrow(name);
  });

  test.each([
    ["kvm-subnet", "10.0.0.0/31"],
    ["kvm-subnet", "10.0.0.256/24"],
    ["kvm-addresses", "10.0.0.1"],
    ["kvm-bridge", "a-name-that-is-too-long"],
    ["kvm-dir", "relative"],
    ["kvm-dir", `/${"x".repeat(36)}`],
    ["kvm-machine", "q35,accel=kvm"],
    ["kvm-cpu-model", "host -S"],
    ["kvm-launch-security", "sev"],
    ["kvm-snp-policy", "30000"],
    ["kvm-ssh-host", "-oProxyCommand=x"],
    ["kvm-qemu", "qemu -S"],
  ])("-%s=%s is not accepted", (flag, value) => {
    expect(OPTIONS.find((option) => option.flag === flag)?.validate?.(value)).toMatch(/give|use/);
  });
});

describe("a VM's size", () => {
  const config = { vcpus: 2, memoryMiB: 2048 };
  const size = { machineType: "", vcpus: 0, memoryMiB: 0, gpus: 0 };

  test("is what is asked for, and the default where nothing is", () => {
    expect(vmSize(size, config)).toEqual({ vcpus: 2, memoryMiB: 2048 });
    expect(vmSize({ ...size, vcpus: 3 }, config)).toEqual({ vcpus: 3, memoryMiB: 2048 });
    expect(vmSize({ ...size, vcpus: 3, machineType: "4x512" }, config)).toEqual({ vcpus: 4, memoryMiB: 512 });
  });

  test.each([{ machineType: "Standard_D2s" }, { machineType: "0x512" }, { gpus: 1 }, { epcMiB: 16 }])(
    "%j cannot be had",
    (asked) => {
      expect(() => vmSize({ ...size, ...asked }, config)).toThrow();
    },
  );
});

test("addresses are read and written", () => {
  expect(["0.0.0.0", "255.255.255.255", "10.1.20.199"].every(isIPv4)).toBe(true);
  expect(["1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.x", "", "1.2.3.4 "].some(isIPv4)).toBe(false);
  const prefix = parsePrefix("192.168.130.77/23");
  expect(prefix && [toAddress(prefix.base), netmask(prefix)]).toEqual(["192.168.130.0", "255.255.254.0"]);
});
