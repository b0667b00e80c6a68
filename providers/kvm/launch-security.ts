import { invalidConfig } from "../../src/errors/index.ts";
import { expectedValues, type Initdata } from "../../src/user-data/index.ts";
import type { OptionReader } from "../contract.ts";

/** Values of KVM_LAUNCH_SECURITY. */
export const LAUNCH_SECURITY = ["s390-pv", "sev-snp", "tdx"] as const;

/** How a VM's memory is kept from its host. */
export type LaunchSecurity =
  | { readonly kind: "s390-pv" }
  | { readonly kind: "sev-snp"; readonly policy: number }
  | { readonly kind: "tdx"; readonly quotePort: number | undefined };

/** Reads the options. Throws `invalid-config`. */
export function readLaunchSecurity(options: OptionReader): LaunchSecurity | undefined {
  const text = options.string("kvm-launch-security");
  const kind = LAUNCH_SECURITY.find((name) => name === text);
  switch (kind) {
    case "s390-pv":
      return { kind };
    case "sev-snp":
      return { kind, policy: Number(options.string("kvm-snp-policy")) };
    case "tdx":
      return { kind, quotePort: options.int("kvm-tdx-quote-port") };
    case undefined:
      if (text !== "")
        throw invalidConfig(`KVM_LAUNCH_SECURITY is ${text}; use ${LAUNCH_SECURITY.join(", ")}`);
      return undefined;
  }
}

/** What a host must have for it: architecture, and the answer of its kernel. */
export interface Facility {
  readonly arch: string;
  /** Key of the host's facts. */
  readonly fact: string;
  readonly accepted: readonly string[];
  readonly text: string;
}

export const FACILITIES: Readonly<Record<LaunchSecurity["kind"], Facility>> = {
  "s390-pv": {
    arch: "s390x",
    fact: "secure-execution",
    accepted: ["1"],
    text: "Secure Execution (/sys/firmware/uv/prot_virt_host is not 1: a z15 or later with the feature, and the kernel started with prot_virt=1)",
  },
  "sev-snp": {
    arch: "x86_64",
    fact: "sev-snp",
    accepted: ["Y", "1"],
    text: "AMD SEV-SNP (/sys/module/kvm_amd/parameters/sev_snp is not Y)",
  },
  tdx: {
    arch: "x86_64",
    fact: "tdx",
    accepted: ["Y", "1"],
    text: "Intel TDX (/sys/module/kvm_intel/parameters/tdx is not Y)",
  },
};

/** An object for QEMU's `-object`, in its JSON form. */
export interface QemuObject {
  readonly "qom-type": string;
  readonly id: string;
  readonly [property: string]: unknown;
}

/** The part of QEMU's command that makes a VM confidential. */
export interface SecurityArguments {
  readonly objects: readonly QemuObject[];
  /** Properties of the machine. */
  readonly machine: readonly string[];
}

/** Bytes of zeros after what is shorter, as a verifier expects it; base64, as QEMU takes it. */
function hostData(platform: "snp" | "tdx", initdata: Initdata | undefined): string | undefined {
  const found = initdata && expectedValues(initdata).find((value) => value.platform === platform);
  return found && Buffer.from(found.value, "hex").toString("base64");
}

/**
 * What QEMU must be told. The pod's initdata is bound to the launch: its digest is HOST_DATA of an SNP report, MRCONFIGID of a TDX
 * quote. Names and types: QEMU's qapi/qom.json (SevSnpGuestProperties, since 9.1; TdxGuestProperties, since 10.1;
 * s390-pv-guest, since 6.0), docs/system/s390x/protvirt.rst and docs/system/i386/tdx.rst.
 */
export function securityArguments(
  security: LaunchSecurity,
  vm: { readonly memoryMiB: number; readonly initdata: Initdata | undefined; readonly directKernel: boolean },
): SecurityArguments {
  const id = "protection";
  const machine = [`confidential-guest-support=${id}`];
  switch (security.kind) {
    case "s390-pv":
      return { objects: [{ "qom-type": "s390-pv-guest", id }], machine };
    case "sev-snp": {
      const digest = hostData("snp", vm.initdata);
      const guest: QemuObject = {
        "qom-type": "sev-snp-guest",
        id,
        // The place of the encryption bit, and what it costs of the physical address: the same on all processors with SNP.
        cbitpos: 51,
        "reduced-phys-bits": 1,
        policy: security.policy,
        ...(vm.directKernel && { "kernel-hashes": true }),
        ...(digest !== undefined && { "host-data": digest }),
      };
      const memory: QemuObject = {
        "qom-type": "memory-backend-memfd",
        id: "memory",
        size: vm.memoryMiB * 1024 * 1024,
        share: true,
        prealloc: false,
        reserve: false,
      };
      return { objects: [memory, guest], machine: [...machine, "memory-backend=memory", "vmport=off"] };
    }
    case "tdx": {
      const digest = hostData("tdx", vm.initdata);
      const guest: QemuObject = {
        "qom-type": "tdx-guest",
        id,
        ...(digest !== undefined && { mrconfigid: digest }),
        ...(security.quotePort !== undefined && {
          "quote-generation-socket": { type: "vsock", cid: "2", port: `${security.quotePort}` },
        }),
      };
      return { objects: [guest], machine };
    }
  }
}
