import type { KvmConfig } from "./config.ts";
import type { QemuPlan } from "./qemu-arguments.ts";
import { toNumber } from "./subnet.ts";

/** A configuration for tests. */
export function testConfig(changes: Partial<KvmConfig> = {}): KvmConfig {
  return {
    ssh: undefined,
    dir: "/var/lib/peerpods/kvm",
    image: "podvm",
    imagesDir: "/var/lib/peerpods/images",
    diskGiB: undefined,
    firmware: "",
    qemu: "",
    accel: "tcg",
    machine: "",
    cpuModel: "",
    vcpus: 2,
    memoryMiB: 2048,
    overheadMiB: 128,
    maxMemoryMiB: 0,
    launchSecurity: undefined,
    network: {
      bridge: "peerpods0",
      prefix: { base: toNumber("10.177.0.0"), length: 24 },
      netmask: "255.255.255.0",
      gateway: "10.177.0.1",
      first: toNumber("10.177.0.1"),
      last: toNumber("10.177.0.254"),
      dns: ["10.177.0.1"],
      dhcp: true,
      nat: true,
    },
    stopTimeoutMs: 5000,
    qemuUser: "",
    tags: {},
    ...changes,
  };
}

/** A VM's plan for tests: a disk image, under KVM, on a PC. */
export function testPlan(changes: Partial<QemuPlan> = {}): QemuPlan {
  return {
    record: {
      version: 1,
      id: "0f1e2d3c-4b5a-4978-8697-a5b4c3d2e1f0",
      name: "podvm-web-0f1e2d3c",
      tags: {},
      createdAtMs: 0,
      vcpus: 2,
      memoryMiB: 2304,
      image: "/var/lib/peerpods/images/podvm.qcow2",
      interfaces: 1,
    },
    addresses: ["10.177.0.2"],
    image: { kind: "disk", path: "/var/lib/peerpods/images/podvm.qcow2", format: "qcow2" },
    accel: "kvm",
    arch: "x86_64",
    vhost: true,
    initdata: undefined,
    config: testConfig(),
    ...changes,
  };
}
