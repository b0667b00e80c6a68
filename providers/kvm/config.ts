import { invalidConfig } from "../../src/errors/index.ts";
import type { OptionReader } from "../contract.ts";
import type { SshTarget } from "./host/index.ts";
import { type LaunchSecurity, readLaunchSecurity } from "./launch-security.ts";
import { broadcast, contains, netmask, type Prefix, parsePrefix, toAddress, toNumber } from "./subnet.ts";

export type Accel = "kvm" | "tcg";

/** The network of the VMs. */
export interface KvmNetwork {
  readonly bridge: string;
  readonly prefix: Prefix;
  readonly netmask: string;
  readonly gateway: string;
  /** Addresses for VMs, as numbers, both included. */
  readonly first: number;
  readonly last: number;
  readonly dns: readonly string[];
  readonly dhcp: boolean;
  readonly nat: boolean;
}

/** The provider's settings, validated. "" is: not set. */
export interface KvmConfig {
  /** The machine that runs the VMs; undefined: this one. */
  readonly ssh: SshTarget | undefined;
  readonly dir: string;
  readonly image: string;
  readonly imagesDir: string;
  /** GiB; undefined: the image's. */
  readonly diskGiB: number | undefined;
  readonly firmware: string;
  readonly qemu: string;
  readonly accel: Accel | "auto";
  readonly machine: string;
  readonly cpuModel: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly overheadMiB: number;
  /** MiB; 0: the host's. */
  readonly maxMemoryMiB: number;
  readonly launchSecurity: LaunchSecurity | undefined;
  readonly network: KvmNetwork;
  readonly stopTimeoutMs: number;
  readonly qemuUser: string;
  readonly tags: Readonly<Record<string, string>>;
}

/** Reads and cross-checks the options. Throws `invalid-config`, naming the variable. */
export function readConfig(options: OptionReader): KvmConfig {
  const int = (flag: string): number => options.int(flag) ?? 0;
  const security = readLaunchSecurity(options);
  const accel = options.string("kvm-accel");
  if (security !== undefined && accel === "tcg")
    throw invalidConfig("KVM_LAUNCH_SECURITY needs KVM; leave KVM_ACCEL unset");
  return {
    ssh: readSsh(options),
    dir: options.string("kvm-dir").replace(/\/+$/, ""),
    image: options.string("kvm-image"),
    imagesDir: options.string("kvm-images-dir").replace(/\/+$/, ""),
    diskGiB: options.int("kvm-disk-size"),
    firmware: options.string("kvm-firmware"),
    qemu: options.string("kvm-qemu"),
    accel: accel === "kvm" || accel === "tcg" ? accel : "auto",
    machine: options.string("kvm-machine"),
    cpuModel: options.string("kvm-cpu-model"),
    vcpus: int("kvm-vcpus"),
    memoryMiB: int("kvm-memory"),
    overheadMiB: int("kvm-memory-overhead"),
    maxMemoryMiB: int("kvm-max-memory"),
    launchSecurity: security,
    network: readNetwork(options),
    stopTimeoutMs: options.durationMs("kvm-stop-timeout") ?? 0,
    qemuUser: options.string("kvm-qemu-user"),
    tags: options.tags("kvm-tags"),
  };
}

function readSsh(options: OptionReader): SshTarget | undefined {
  const host = options.string("kvm-ssh-host");
  const keyFile = options.string("kvm-ssh-key");
  if (host === "") {
    if (keyFile !== "") throw invalidConfig("KVM_SSH_KEY is set, and KVM_SSH_HOST is not");
    return undefined;
  }
  if (keyFile === "") throw invalidConfig("KVM_SSH_HOST needs KVM_SSH_KEY, the path of a private key");
  return {
    host,
    port: options.int("kvm-ssh-port") ?? 22,
    user: options.string("kvm-ssh-user"),
    keyFile,
    knownHostsFile: options.string("kvm-ssh-known-hosts") || `${keyFile}.known_hosts`,
  };
}

function readNetwork(options: OptionReader): KvmNetwork {
  const text = options.string("kvm-subnet");
  const prefix = parsePrefix(text);
  if (!prefix) throw invalidConfig(`KVM_SUBNET is ${text}; give a prefix such as 10.177.0.0/24`);
  const gateway = options.string("kvm-gateway") || toAddress(prefix.base + 1);
  const range = options.string("kvm-addresses");
  const [first = "", last = ""] =
    range === ""
      ? [toAddress(prefix.base + 1), toAddress(broadcast(prefix) - 1)]
      : range.split("-").map((part) => part.trim());
  for (const [key, address] of [
    ["KVM_GATEWAY", gateway],
    ["KVM_ADDRESSES", first],
    ["KVM_ADDRESSES", last],
  ] as const)
    if (!contains(prefix, address)) throw invalidConfig(`${key}: ${address} is not in KVM_SUBNET, ${text}`);
  if (toNumber(first) > toNumber(last)) throw invalidConfig(`KVM_ADDRESSES is ${range}; give FIRST-LAST`);
  const dns = options.list("kvm-dns");
  return {
    bridge: options.string("kvm-bridge"),
    prefix,
    netmask: netmask(prefix),
    gateway,
    first: toNumber(first),
    last: toNumber(last),
    dns: dns.length > 0 ? dns : [gateway],
    dhcp: options.bool("kvm-dhcp"),
    nat: options.bool("kvm-nat"),
  };
}
