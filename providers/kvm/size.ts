import { invalidRequest } from "../../src/errors/index.ts";
import type { VmSize } from "../contract.ts";
import type { KvmConfig } from "./config.ts";

const MACHINE_TYPE = /^([1-9]\d{0,2})x([1-9]\d{1,7})$/;

/**
 * vCPUs and MiB of a VM: exactly what is asked for, since any size can be made here; what is not asked for comes from the
 * options. A machine type is written `<vCPUs>x<MiB>`. Throws `invalid-request`.
 */
export function vmSize(
  size: VmSize,
  config: Pick<KvmConfig, "vcpus" | "memoryMiB">,
): { readonly vcpus: number; readonly memoryMiB: number } {
  if (size.gpus > 0 || (size.epcMiB ?? 0) > 0)
    throw invalidRequest("the kvm provider has no GPUs and no SGX memory; ask for none");
  if (size.machineType !== "") {
    const [, vcpus, memory] = MACHINE_TYPE.exec(size.machineType) ?? [];
    if (vcpus === undefined || memory === undefined)
      throw invalidRequest(
        `machine type ${size.machineType} is not known; the kvm provider takes <vCPUs>x<MiB>, such as 2x4096`,
      );
    return { vcpus: Number(vcpus), memoryMiB: Number(memory) };
  }
  return {
    vcpus: size.vcpus > 0 ? size.vcpus : config.vcpus,
    memoryMiB: size.memoryMiB > 0 ? size.memoryMiB : config.memoryMiB,
  };
}
