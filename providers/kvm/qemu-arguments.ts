import type { Initdata } from "../../src/user-data/index.ts";
import type { Accel, KvmConfig } from "./config.ts";
import { type LaunchSecurity, type QemuObject, securityArguments } from "./launch-security.ts";
import { macOf, tapsOf, type VmRecord } from "./record.ts";

/** An image as it was found on the host. */
export type Image =
  | { readonly kind: "disk"; readonly path: string; readonly format: "qcow2" | "raw" }
  | { readonly kind: "kernel"; readonly path: string; readonly initrd: boolean; readonly cmdline: string };

/** All that QEMU's arguments depend on. */
export interface QemuPlan {
  readonly record: VmRecord;
  readonly addresses: readonly string[];
  readonly image: Image;
  readonly accel: Accel;
  /** `uname -m` of the host. */
  readonly arch: string;
  /** The kernel moves packets between VM and tap. */
  readonly vhost: boolean;
  readonly initdata: Initdata | undefined;
  readonly config: Pick<
    KvmConfig,
    "dir" | "qemu" | "machine" | "cpuModel" | "firmware" | "launchSecurity" | "qemuUser"
  >;
}

/** The VM's folder on the host. */
export const folderOf = (dir: string, name: string): string => `${dir}/vms/${name}`;

const json = (value: object): string => JSON.stringify(value);

/** QEMU for a host. */
export const qemuOf = (config: Pick<KvmConfig, "qemu">, arch: string): string =>
  config.qemu === "" ? `qemu-system-${arch}` : config.qemu;

/** QEMU and its arguments. */
export function qemuCommand(plan: QemuPlan): readonly string[] {
  const { record, config, arch } = plan;
  const folder = folderOf(config.dir, record.name);
  return [
    qemuOf(config, arch),
    ...["-name", record.name, "-uuid", record.id],
    ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"],
    ...["-pidfile", `${folder}/qemu.pid`],
    ...sandboxArguments(config.qemuUser),
    ...machineArguments(plan),
    ...["-smp", `${record.vcpus}`, "-m", `${record.memoryMiB}`],
    ...[
      "-chardev",
      `socket,id=qmp,path=${folder}/qmp,server=on,wait=off`,
      "-mon",
      "chardev=qmp,mode=control",
    ],
    ...["-chardev", `file,id=console,path=${folder}/serial.log,append=on`],
    ...(arch === "s390x" ? ["-device", "sclpconsole,chardev=console"] : ["-serial", "chardev:console"]),
    ...bootArguments(plan),
    ...diskArguments(plan, folder),
    ...networkArguments(plan),
    ...["-object", json({ "qom-type": "rng-random", id: "entropy", filename: "/dev/urandom" })],
    ...["-device", device(plan, "virtio-rng", { rng: "entropy" })],
  ];
}

/** QEMU starts no other program, and where it need not become another user it may not. */
function sandboxArguments(user: string): readonly string[] {
  const rules = "on,obsolete=deny,spawn=deny,resourcecontrol=deny";
  if (user === "") return ["-sandbox", `${rules},elevateprivileges=deny`];
  return ["-sandbox", rules, "-runas", user];
}

function security(plan: QemuPlan): {
  readonly objects: readonly QemuObject[];
  readonly machine: readonly string[];
} {
  const { launchSecurity } = plan.config;
  if (launchSecurity === undefined) return { objects: [], machine: [] };
  return securityArguments(launchSecurity, {
    memoryMiB: plan.record.memoryMiB,
    initdata: plan.initdata,
    directKernel: plan.image.kind === "kernel",
  });
}

function machineArguments(plan: QemuPlan): readonly string[] {
  const { config, accel, arch } = plan;
  const machine = config.machine || (arch === "s390x" ? "s390-ccw-virtio" : "q35");
  const { objects, machine: properties } = security(plan);
  const pflash = usesPflash(config) ? ["pflash0=firmware"] : [];
  return [
    ...objects.flatMap((object) => ["-object", json(object)]),
    ...["-machine", [machine, ...pflash, ...properties].join(",")],
    ...["-accel", accel],
    ...["-cpu", config.cpuModel || (accel === "kvm" ? "host" : "max")],
  ];
}

/** A confidential VM's firmware is memory that is measured, no device (QEMU's docs/system/i386/tdx.rst). */
const usesPflash = (config: {
  readonly firmware: string;
  readonly launchSecurity: LaunchSecurity | undefined;
}): boolean => config.firmware !== "" && config.launchSecurity === undefined;

function bootArguments(plan: QemuPlan): readonly string[] {
  const { config, image, arch } = plan;
  const file = { driver: "file", filename: config.firmware };
  const firmware = usesPflash(config)
    ? ["-blockdev", json({ driver: "raw", "node-name": "firmware", "read-only": true, file })]
    : config.firmware === ""
      ? []
      : ["-bios", config.firmware];
  if (image.kind === "disk") return firmware;
  // In a Secure Execution image kernel, initramfs and command line are one encrypted file.
  const sealed = config.launchSecurity?.kind === "s390-pv";
  const console = arch === "s390x" ? "console=ttysclp0" : "console=ttyS0";
  return [
    ...firmware,
    ...["-kernel", `${image.path}/vmlinuz`],
    ...(image.initrd && !sealed ? ["-initrd", `${image.path}/initrd.img`] : []),
    ...(sealed ? [] : ["-append", [console, image.cmdline].filter((word) => word !== "").join(" ")]),
  ];
}

function diskArguments(plan: QemuPlan, folder: string): readonly string[] {
  const disk =
    plan.image.kind === "disk"
      ? [
          "-blockdev",
          json({
            driver: "qcow2",
            "node-name": "disk",
            file: { driver: "file", filename: `${folder}/disk.qcow2`, discard: "unmap" },
          }),
          ...["-device", device(plan, "virtio-blk", { drive: "disk", bootindex: "1" })],
        ]
      : [];
  const cidata = { driver: "file", filename: `${folder}/cidata.iso` };
  return [
    ...disk,
    ...["-blockdev", json({ driver: "raw", "node-name": "cidata", "read-only": true, file: cidata })],
    ...["-device", device(plan, "virtio-blk", { drive: "cidata" })],
  ];
}

function networkArguments(plan: QemuPlan): readonly string[] {
  return tapsOf(plan.record).flatMap((tap, index) => [
    ...[
      "-netdev",
      `tap,id=net${index},ifname=${tap},script=no,downscript=no,vhost=${plan.vhost ? "on" : "off"}`,
    ],
    "-device",
    device(plan, "virtio-net", {
      netdev: `net${index}`,
      mac: macOf(plan.addresses[index] ?? ""),
      // Nobody boots from the network.
      ...(plan.arch === "s390x" ? {} : { romfile: "" }),
    }),
  ]);
}

/** A virtio device on the machine's bus; where memory is kept from the host, only through pages that the guest shares. */
function device(plan: QemuPlan, model: string, properties: Readonly<Record<string, string>>): string {
  const bus = plan.arch === "s390x" ? "ccw" : "pci";
  const shared = plan.config.launchSecurity === undefined ? {} : { iommu_platform: "on" };
  return [
    `${model}-${bus}`,
    ...Object.entries({ ...properties, ...shared }).map(([key, value]) => `${key}=${value}`),
  ].join(",");
}
