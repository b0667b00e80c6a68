import type { OptionSpec } from "../contract.ts";
import { LAUNCH_SECURITY } from "./launch-security.ts";
import { isIPv4, parsePrefix } from "./subnet.ts";

const absolute = (value: string): string | undefined =>
  value.startsWith("/") ? undefined : "give an absolute path";
const oneOf =
  (...values: readonly string[]) =>
  (value: string): string | undefined =>
    values.includes(value) ? undefined : `use ${values.join(", ")}`;
const atLeast =
  (least: number) =>
  (value: string): string | undefined =>
    Number(value) >= least ? undefined : `give a number of at least ${least}`;
const ipv4 = (value: string): string | undefined => (isIPv4(value) ? undefined : "give an IPv4 address");
const device = (value: string): string | undefined =>
  /^[A-Za-z0-9_.-]{1,15}$/.test(value) ? undefined : "give the name of a network device";

const IMAGE: readonly OptionSpec[] = [
  {
    flag: "kvm-image",
    env: "KVM_IMAGE",
    kind: "string",
    required: true,
    live: true,
    help: "Image that VMs boot: a path on the host, or a name in KVM_IMAGES_DIR; a disk image (qcow2 or raw, used read-only), or a folder with vmlinuz, initrd.img and cmdline.",
  },
  {
    flag: "kvm-images-dir",
    env: "KVM_IMAGES_DIR",
    kind: "string",
    default: "/var/lib/peerpods/images",
    help: "Folder on the host with the images that a pod's image annotation may name.",
    validate: absolute,
  },
  {
    flag: "kvm-disk-size",
    env: "KVM_DISK_SIZE",
    kind: "int",
    live: true,
    help: "Size of a VM's disk in GiB; unset: the image's own.",
    validate: atLeast(1),
  },
  {
    flag: "kvm-firmware",
    env: "KVM_FIRMWARE",
    kind: "string",
    live: true,
    help: "UEFI firmware on the host, such as /usr/share/OVMF/OVMF_CODE_4M.fd; unset: QEMU's own (BIOS on x86).",
    validate: absolute,
  },
];

const MACHINE: readonly OptionSpec[] = [
  {
    flag: "kvm-qemu",
    env: "KVM_QEMU",
    kind: "string",
    help: "QEMU on the host; unset: qemu-system- and the host's architecture.",
    validate: (value) => (/\s/.test(value) ? "give one word" : undefined),
  },
  {
    flag: "kvm-accel",
    env: "KVM_ACCEL",
    kind: "string",
    default: "auto",
    help: "kvm, tcg (software emulation, slow), or auto: KVM where a boot sector runs under it, tried once for each boot of the host.",
    validate: oneOf("auto", "kvm", "tcg"),
  },
  {
    flag: "kvm-machine",
    env: "KVM_MACHINE",
    kind: "string",
    live: true,
    help: "QEMU's machine type; unset: q35, or s390-ccw-virtio.",
    validate: (value) => (/^[\w.-]+$/.test(value) ? undefined : "give a machine type without properties"),
  },
  {
    flag: "kvm-cpu-model",
    env: "KVM_CPU_MODEL",
    kind: "string",
    live: true,
    help: "QEMU's CPU model, with features; unset: host under KVM, max in software emulation.",
    validate: (value) => (/^[\w.,+=-]+$/.test(value) ? undefined : "give a model as QEMU spells it"),
  },
  {
    flag: "kvm-vcpus",
    env: "KVM_VCPUS",
    kind: "int",
    default: "2",
    live: true,
    help: "vCPUs of a VM whose pod asks for none.",
    validate: atLeast(1),
  },
  {
    flag: "kvm-memory",
    env: "KVM_MEMORY",
    kind: "int",
    default: "2048",
    live: true,
    help: "Memory in MiB of a VM whose pod asks for none.",
    validate: atLeast(64),
  },
  {
    flag: "kvm-memory-overhead",
    env: "KVM_MEMORY_OVERHEAD",
    kind: "int",
    default: "128",
    help: "MiB that QEMU itself is counted with, beside its VM's memory.",
    validate: atLeast(0),
  },
  {
    flag: "kvm-max-memory",
    env: "KVM_MAX_MEMORY",
    kind: "int",
    help: "Most MiB of the host for all pod VMs together; unset: all that the host has.",
    validate: atLeast(64),
  },
  {
    flag: "kvm-launch-security",
    env: "KVM_LAUNCH_SECURITY",
    kind: "string",
    live: true,
    help: "Confidential VMs: s390-pv (Secure Execution), sev-snp or tdx; unset: none. See docs/providers/kvm.md for what was tried.",
    validate: oneOf(...LAUNCH_SECURITY),
  },
  {
    flag: "kvm-snp-policy",
    env: "KVM_SNP_POLICY",
    kind: "string",
    default: "0x30000",
    live: true,
    help: "Guest policy for sev-snp, a number as AMD's ABI specification has it; the default allows SMT and no debugging.",
    validate: (value) => (/^0x[0-9a-f]{1,16}$/i.test(value) ? undefined : "give a number such as 0x30000"),
  },
  {
    flag: "kvm-tdx-quote-port",
    env: "KVM_TDX_QUOTE_PORT",
    kind: "int",
    help: "vsock port (context id 2) of the host's quote generation service for tdx; unset: none is given to QEMU.",
    validate: atLeast(1),
  },
];

const NETWORK: readonly OptionSpec[] = [
  {
    flag: "kvm-bridge",
    env: "KVM_BRIDGE",
    kind: "string",
    default: "peerpods0",
    help: "Bridge that VMs are put on. One that exists is used as it is; else it is made with address, NAT and DHCP, and removed with the last VM.",
    validate: device,
  },
  {
    flag: "kvm-subnet",
    env: "KVM_SUBNET",
    kind: "string",
    default: "10.177.0.0/24",
    help: "IPv4 prefix of that network.",
    validate: (value) => (parsePrefix(value) ? undefined : "give a prefix such as 10.177.0.0/24"),
  },
  {
    flag: "kvm-addresses",
    env: "KVM_ADDRESSES",
    kind: "string",
    help: "First and last address for VMs, as 192.0.2.100-192.0.2.199, which nobody else may use; unset: all of KVM_SUBNET but the gateway.",
    validate: (value) =>
      value.split("-").length === 2 && value.split("-").every((part) => isIPv4(part.trim()))
        ? undefined
        : "give FIRST-LAST",
  },
  {
    flag: "kvm-gateway",
    env: "KVM_GATEWAY",
    kind: "string",
    help: "The VMs' default gateway; unset: the first address of KVM_SUBNET, which is the bridge's own where we make it.",
    validate: ipv4,
  },
  {
    flag: "kvm-dns",
    env: "KVM_DNS",
    kind: "list",
    help: "Name servers for VMs; unset: the gateway.",
    validate: (value) =>
      value.split(",").every((part) => part.trim() === "" || isIPv4(part.trim()))
        ? undefined
        : "give IPv4 addresses",
  },
  {
    flag: "kvm-dhcp",
    env: "KVM_DHCP",
    kind: "bool",
    default: "true",
    help: "On a bridge of ours: dnsmasq gives VMs their addresses, which the stock image needs.",
  },
  {
    flag: "kvm-nat",
    env: "KVM_NAT",
    kind: "bool",
    default: "true",
    help: "On a bridge of ours: VMs reach other networks under the host's address (nftables).",
  },
];

const SSH: readonly OptionSpec[] = [
  {
    flag: "kvm-ssh-host",
    env: "KVM_SSH_HOST",
    kind: "string",
    help: "Machine that runs the VMs, reached by OpenSSH; unset: this one.",
    validate: (value) =>
      /^[A-Za-z0-9][A-Za-z0-9.:-]*$/.test(value) ? undefined : "give a name or an address",
  },
  {
    flag: "kvm-ssh-port",
    env: "KVM_SSH_PORT",
    kind: "int",
    default: "22",
    help: "Its port.",
    validate: atLeast(1),
  },
  {
    flag: "kvm-ssh-user",
    env: "KVM_SSH_USER",
    kind: "string",
    default: "root",
    help: "User there; has to be root, or able to do what root does.",
    validate: (value) => (/^[a-z_][a-z0-9_-]*$/.test(value) ? undefined : "give a user's name"),
  },
  {
    flag: "kvm-ssh-key",
    env: "KVM_SSH_KEY",
    kind: "string",
    help: "File with the private key, without a passphrase, mode 0600.",
    validate: absolute,
  },
  {
    flag: "kvm-ssh-known-hosts",
    env: "KVM_SSH_KNOWN_HOSTS",
    kind: "string",
    help: "File with the host's public key, as known_hosts has it; unset: KVM_SSH_KEY's path with .known_hosts.",
    validate: absolute,
  },
];

/** The options of the kvm provider, in the order of the help. */
export const OPTIONS: readonly OptionSpec[] = [
  ...IMAGE,
  ...MACHINE,
  ...NETWORK,
  ...SSH,
  {
    flag: "kvm-dir",
    env: "KVM_DIR",
    kind: "string",
    default: "/var/lib/peerpods/kvm",
    help: "Folder on the host for what belongs to VMs; must outlive a restart.",
    validate: (value) =>
      absolute(value) ?? (value.length <= 36 ? undefined : "give a path of at most 36 characters"),
  },
  {
    flag: "kvm-stop-timeout",
    env: "KVM_STOP_TIMEOUT",
    kind: "duration",
    default: "5s",
    help: "How long a VM that is deleted may take to turn itself off before it is ended.",
  },
  {
    flag: "kvm-qemu-user",
    env: "KVM_QEMU_USER",
    kind: "string",
    help: "User that QEMU becomes when it has opened what it needs; unset: it stays who started it.",
    validate: (value) => (/^[a-z_][a-z0-9_-]*$/.test(value) ? undefined : "give a user's name"),
  },
  {
    flag: "kvm-tags",
    env: "KVM_TAGS",
    kind: "tags",
    live: true,
    help: "Tags for every VM, as key=value,key=value; tags of ours are not overridden.",
  },
];
