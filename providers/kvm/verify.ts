import { isCaaError } from "../../src/errors/index.ts";
import type { Finding } from "../contract.ts";
import { chooseAccel } from "./accel.ts";
import { imagePath } from "./create.ts";
import type { KvmDeps } from "./deps.ts";
import { hostFacts, missingFacility } from "./launch-check.ts";
import { qemuOf } from "./qemu-arguments.ts";
import { roomFor } from "./room.ts";

type Facts = ReadonlyMap<string, string>;

const ok = (check: string, text: string): Finding => ({ check, level: "ok", text });
const warning = (check: string, text: string): Finding => ({ check, level: "warning", text });
const error = (check: string, text: string): Finding => ({ check, level: "error", text });

/** What the operator must know before the first pod. Throws only when cancelled. */
export async function verifyHost(deps: KvmDeps, signal: AbortSignal): Promise<readonly Finding[]> {
  const context = { what: "verifying the KVM host", signal };
  try {
    const image = imagePath(deps, "");
    const facts = await hostFacts(deps, image, context);
    return [
      ...programs(deps, facts),
      imageFinding(facts, image),
      ...network(deps, facts),
      room(deps, facts),
      ...protection(deps, facts),
      ...((facts.get("qemu") ?? "") === "" ? [] : [await acceleration(deps, facts, signal)]),
    ];
  } catch (failure) {
    if (!isCaaError(failure) || failure.kind === "cancelled") throw failure;
    return [error("KVM host", failure.message)];
  }
}

function programs(deps: KvmDeps, facts: Facts): readonly Finding[] {
  const { config, host } = deps;
  const found: Finding[] = [];
  const qemu = facts.get("qemu") ?? "";
  const name = qemuOf(config, facts.get("arch") ?? "");
  if (qemu === "")
    found.push(error("QEMU", `${name} does not run on ${host.label}; install it, or set KVM_QEMU`));
  else found.push(ok("QEMU", `${host.label}: ${qemu}`));
  const missing = facts.get("missing") ?? "";
  if (missing !== "") found.push(error("programs", `${host.label} lacks ${missing}`));
  if (facts.get("root") !== "1")
    found.push(error("rights", `root is needed on ${host.label}, for network devices`));
  if (facts.get("base") !== "ok")
    found.push(error("KVM_DIR", `${config.dir} cannot be made or written on ${host.label}`));
  if (facts.get("firmware") === "missing")
    found.push(error("KVM_FIRMWARE", `there is no ${config.firmware} on ${host.label}`));
  return found;
}

function imageFinding(facts: Facts, image: string): Finding {
  const kind = facts.get("image") ?? "";
  if (kind === "") return error("KVM_IMAGE", `${image} is neither a disk image nor a folder with vmlinuz`);
  if (kind !== "kernel" && (facts.get("qemu-img") ?? "") === "")
    return error(
      "KVM_IMAGE",
      `${image} is a disk image, and qemu-img is not there to make VMs' disks from it`,
    );
  return ok("KVM_IMAGE", kind === "kernel" ? `${image}: kernel and initramfs` : `${image}: a ${kind} disk`);
}

function network(deps: KvmDeps, facts: Facts): readonly Finding[] {
  const { bridge, dhcp } = deps.config.network;
  const state = facts.get("bridge") ?? "";
  if (state === "none") return [error("KVM_BRIDGE", `${bridge} is a network device, and no bridge`)];
  if (state !== "other")
    return [ok("KVM_BRIDGE", `${bridge} is made for the VMs${dhcp ? ", with DHCP" : ""}`)];
  return [
    ok("KVM_BRIDGE", `${bridge} is there already and used as it is: without address, NAT or DHCP of ours`),
  ];
}

function room(deps: KvmDeps, facts: Facts): Finding {
  const left = roomFor(deps.config, facts);
  const { vcpus, memoryMiB } = deps.config;
  const text = `room for ${left} VMs of ${vcpus} vCPUs and ${memoryMiB} MiB`;
  return left > 0
    ? ok("memory", text)
    : warning("memory", `no ${text.replace(`for ${left} VMs`, "for a VM")}`);
}

function protection(deps: KvmDeps, facts: Facts): readonly Finding[] {
  const { launchSecurity } = deps.config;
  if (launchSecurity === undefined) return [];
  const problem = missingFacility(deps, facts);
  if (problem !== undefined) return [error("KVM_LAUNCH_SECURITY", problem)];
  return [ok("KVM_LAUNCH_SECURITY", `${deps.host.label} has what ${launchSecurity.kind} needs`)];
}

async function acceleration(deps: KvmDeps, facts: Facts, signal: AbortSignal): Promise<Finding> {
  const arch = facts.get("arch") ?? "";
  const { accel, reason } = await chooseAccel(deps, arch, { what: "trying KVM", signal });
  if (accel === "kvm") return ok("KVM_ACCEL", "VMs run under KVM");
  if (reason === undefined)
    return warning("KVM_ACCEL", "VMs run in software emulation, as KVM_ACCEL says: slowly");
  return warning("KVM_ACCEL", `VMs run in software emulation, slowly: ${reason}`);
}
