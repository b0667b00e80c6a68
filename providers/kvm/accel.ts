import type { Accel } from "./config.ts";
import type { KvmDeps } from "./deps.ts";
import { onHost } from "./host-errors.ts";
import { qemuOf } from "./qemu-arguments.ts";

/** `mov al,16; out 0xf4,al; hlt; jmp back`, for QEMU's isa-debug-exit, which then ends with status 16 * 2 + 1. */
const BOOT_CODE = [0xb0, 0x10, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd];
const BOOTED = 33;
/** The BIOS boots from nothing smaller. */
const DISK_BYTES = 1024 * 1024;

/** A disk whose boot sector turns the machine off. */
export function bootSector(): Buffer {
  const disk = Buffer.alloc(DISK_BYTES);
  Buffer.from(BOOT_CODE).copy(disk);
  disk.writeUInt16LE(0xaa55, 510);
  return disk;
}

export interface AccelChoice {
  readonly accel: Accel;
  /** Why it is software emulation though nobody asked for that. */
  readonly reason?: string;
}

/** What VMs of this host run under. Asks the host once per boot of it, by a VM that boots nothing. */
export async function chooseAccel(
  deps: KvmDeps,
  arch: string,
  context: { readonly what: string; readonly signal: AbortSignal },
): Promise<AccelChoice> {
  const { config, host } = deps;
  if (config.accel !== "auto") return { accel: config.accel };
  // Boot sectors are for PCs; elsewhere KVM is believed in.
  if (arch !== "x86_64") return { accel: "kvm" };
  const answer = await onHost(
    host,
    {
      script: "probe",
      values: {
        BASE: config.dir,
        QEMU: qemuOf(config, arch),
        CPU: config.cpuModel || "host",
        BOOTED,
        DISK_BYTES,
      },
      args: [
        ...[
          "-machine",
          config.machine || "q35",
          "-m",
          "64",
          "-nodefaults",
          "-no-user-config",
          "-display",
          "none",
        ],
        ...[
          "-device",
          "isa-debug-exit,iobase=0xf4,iosize=4",
          "-device",
          "virtio-blk-pci,drive=disk,bootindex=0",
        ],
      ],
      input: bootSector().toString("base64"),
    },
    context,
  );
  const [accel, ...reason] = answer.trim().split(" ");
  return accel === "kvm" ? { accel } : { accel: "tcg", reason: reason.join(" ") };
}
