import { readdirSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import type { TestNode } from "../node/test-node.ts";
import type { PlayedPod } from "../shim/played-pod.ts";
import { must, type Report } from "./report.ts";

const VCPUS = 1;
const MEMORY_MIB = 256;
/** A VM's own part, beside its pod's limits (POD_VM_SIZING=aks). */
const BASE = { vcpus: 1, memoryMiB: 2048 };
/** What a kernel keeps of the memory for itself is less than this share. */
const KERNEL_SHARE = 0.1;

/** The pod's limits, as the shim sends their sums. */
export const LIMITS_ASKED: Readonly<Record<string, string>> = {
  "io.katacontainers.config.hypervisor.default_vcpus": `${VCPUS}`,
  "io.katacontainers.config.hypervisor.default_memory": `${MEMORY_MIB}`,
};

/** The arguments of the one QEMU that the node has. */
function qemuArguments(node: TestNode): readonly string[] {
  const [name] = readdirSync(join(node.kvmDir, "vms"));
  const pid = readFileSync(join(node.kvmDir, "vms", name ?? "", "qemu.pid"), "utf8").trim();
  return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
}

/** That the pod runs under another kernel than its node, on the machine that its limits ask for. */
export async function realMachine(
  report: Report,
  pod: PlayedPod,
  container: string,
  node: TestNode,
): Promise<void> {
  const inPod = async (command: string): Promise<string> =>
    (await pod.session.exec(container, "look", ["sh", "-c", command])).stdout.trim();
  const [, ...found] = readFileSync(join(node.kvmDir, "accel"), "utf8").trim().split(" ");
  report.note(
    found[0] === "kvm" ? "QEMU boots under KVM here" : `software emulation: ${found.slice(1).join(" ")}`,
  );
  await report.claim("the pod has a kernel of its own", async () => {
    const kernel = await inPod("uname -r");
    must(kernel !== release() && kernel !== "", `both have ${kernel}`);
    return { seen: `uname -r is ${release()} on the node, ${kernel} in the pod`, value: undefined };
  });
  await report.claim("its machine has 1 vCPU and 2 GB more than its limits", async () => {
    const args = qemuArguments(node);
    const value = (flag: string): string => args[args.indexOf(flag) + 1] ?? "";
    const vcpus = Number(await inPod("nproc"));
    const mebibytes = Math.floor(Number(await inPod("awk '/MemTotal/ {print $2}' /proc/meminfo")) / 1024);
    const wanted = { vcpus: BASE.vcpus + VCPUS, memoryMiB: BASE.memoryMiB + MEMORY_MIB };
    must(vcpus === wanted.vcpus, `it has ${vcpus} vCPUs, not ${wanted.vcpus}`);
    must(value("-m") === `${wanted.memoryMiB}`, `QEMU was given ${value("-m")} MiB, not ${wanted.memoryMiB}`);
    must(mebibytes > wanted.memoryMiB * (1 - KERNEL_SHARE), `its kernel sees ${mebibytes} MiB`);
    const limits = `limits of ${VCPUS} and ${MEMORY_MIB} MiB`;
    return {
      seen: `${limits} gave ${vcpus} vCPUs and ${value("-m")} MiB (${mebibytes} MiB to its kernel), under ${value("-accel")}`,
      value: undefined,
    };
  });
}
