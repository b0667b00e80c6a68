import { internal, isCaaError } from "../errors/index.ts";
import type { SandboxRecord, VmRecord } from "../journal/index.ts";
import { podVmName } from "../user-data/index.ts";
import type { SandboxDeps } from "./ports.ts";
import { parseJournaledVolumes } from "./volumes.ts";

/**
 * A start whose VM came from the warm pool: the VM is told which pod it is for. One that is gone, or that this pod cannot use
 * (disks and a second interface are given to a VM when it is made), is replaced in the journal by one that is yet to be made.
 * Returns the VM that is to be deleted then. May be repeated after a crash at any point.
 */
export async function tellPooledVm(
  deps: SandboxDeps,
  record: SandboxRecord,
  vm: VmRecord,
  signal: AbortSignal,
): Promise<{ readonly discarded: VmRecord } | undefined> {
  const { journal, log, provider } = deps;
  const fields = { sandboxId: record.id, vmName: vm.name, step: "pool" };
  if (record.userData === undefined) throw internal(`sandbox ${record.id} has no user data in the journal`);
  const obstacle = unsuitable(deps, record);
  if (obstacle === undefined) {
    try {
      if (provider.updateUserData === undefined)
        throw internal(`${provider.name} cannot deliver user data late`);
      const ref = vm.vmId === undefined ? { name: vm.name } : { name: vm.name, id: vm.vmId };
      await provider.updateUserData(ref, record.userData, signal);
      journal.userDataGiven(vm.name);
      log.info("the sandbox gets a VM of the warm pool", fields);
      return undefined;
    } catch (error) {
      if (!isCaaError(error, "gone", "not-found", "wrong-state", "internal", "unsupported")) throw error;
      log.warn("a VM of the warm pool is of no use; another one is made", {
        ...fields,
        error: error.message,
      });
    }
  } else
    log.info("a VM of the warm pool does not suit the pod; another one is made", { ...fields, obstacle });
  signal.throwIfAborted();
  journal.replacePooledVm(record.id, podVmName(record.podName, record.id));
  return { discarded: vm };
}

function unsuitable(deps: SandboxDeps, record: SandboxRecord): string | undefined {
  if (deps.networking.dedicated(record.networkJson ?? "")) return "its tunnel needs an interface of its own";
  const disks = parseJournaledVolumes(record.volumesJson).filter((volume) => volume.diskId !== "");
  return disks.length > 0 ? "it has disks" : undefined;
}
