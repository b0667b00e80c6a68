import { readFileSync } from "node:fs";
import { parseInitdata } from "../../src/user-data/index.ts";
import type { QemuPlan } from "./qemu-arguments.ts";
import { testConfig, testPlan } from "./testing.ts";

const initdata = parseInitdata(
  readFileSync(new URL("../../test/fixtures/user-data/initdata-sha384.toml", import.meta.url), "utf8"),
);
const KERNEL = {
  kind: "kernel",
  path: "/var/lib/peerpods/images/podvm",
  initrd: true,
  cmdline: "quiet",
} as const;
const SEALED = { ...KERNEL, initrd: false, cmdline: "" } as const;

/** What is asked for, and the golden file that has the whole command. */
export const PLANS: Readonly<Record<string, QemuPlan>> = {
  "x86-disk": testPlan(),
  "x86-disk-uefi": testPlan({
    config: testConfig({ firmware: "/usr/share/OVMF/OVMF_CODE_4M.fd", qemuUser: "peerpods" }),
  }),
  "x86-kernel-emulated": testPlan({ image: KERNEL, accel: "tcg", vhost: false }),
  "x86-two-interfaces": testPlan({
    record: { ...testPlan().record, interfaces: 2 },
    addresses: ["10.177.0.2", "10.177.0.3"],
  }),
  "s390x-kernel": testPlan({ arch: "s390x", image: KERNEL }),
  "s390x-secure-execution-kernel": testPlan({
    arch: "s390x",
    image: SEALED,
    config: testConfig({ launchSecurity: { kind: "s390-pv" } }),
    initdata,
  }),
  "s390x-secure-execution-disk": testPlan({
    arch: "s390x",
    config: testConfig({ launchSecurity: { kind: "s390-pv" } }),
  }),
  "x86-sev-snp": testPlan({
    config: testConfig({
      launchSecurity: { kind: "sev-snp", policy: 0x30000 },
      firmware: "/usr/share/ovmf/OVMF.amdsev.fd",
    }),
    initdata,
  }),
  "x86-sev-snp-kernel": testPlan({
    image: KERNEL,
    config: testConfig({
      launchSecurity: { kind: "sev-snp", policy: 0x30000 },
      firmware: "/usr/share/ovmf/OVMF.amdsev.fd",
    }),
  }),
  "x86-tdx": testPlan({
    config: testConfig({
      launchSecurity: { kind: "tdx", quotePort: 4050 },
      firmware: "/usr/share/ovmf/OVMF.fd",
    }),
    initdata,
  }),
};
