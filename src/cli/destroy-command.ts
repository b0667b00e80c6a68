import type { OptionReader, Provider, ProviderModule, Vm } from "../../providers/contract.ts";
import { createDiscreetly } from "../../providers/redaction/index.ts";
import { describeError, invalidConfig } from "../errors/index.ts";
import { createLog, systemClock, systemExec } from "../platform/index.ts";

/** How many VMs are deleted at the same time. */
const CONCURRENCY = 8;

export interface DestroyRequest {
  readonly module: ProviderModule;
  readonly options: OptionReader;
  readonly clusterId: string;
  /** "": VMs of all nodes. */
  readonly nodeName: string;
  /** Only say which. */
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
  readonly write: (text: string) => void;
}

/**
 * Deletes every VM that carries the cluster's tag, whatever node or journal it belongs to: for uninstalling, or for a cluster
 * that is stopped. Exit status 1 when one could not be deleted.
 */
export async function destroyCluster(request: DestroyRequest): Promise<number> {
  const { clusterId, nodeName, signal, write } = request;
  if (clusterId === "")
    throw invalidConfig(
      "-cluster is missing: give the cluster's identity (CLUSTER_ID), the one in the VMs' tags",
    );
  const provider = await createDiscreetly(
    request.module,
    {
      clock: systemClock,
      exec: systemExec,
      log: createLog("warn", "destroy"),
      owner: { clusterId, nodeName },
    },
    request.options,
  );
  try {
    const vms = await provider.list(nodeName === "" ? { clusterId } : { clusterId, nodeName }, signal);
    if (request.dryRun) {
      for (const vm of vms) write(`would delete ${vm.name} (${vm.id}, ${vm.lifecycle})\n`);
      write(`${vms.length} VMs of cluster ${clusterId}\n`);
      return 0;
    }
    const failed = await deleteAll(provider, vms, request);
    write(`${vms.length - failed} of ${vms.length} VMs of cluster ${clusterId} are deleted\n`);
    return failed === 0 ? 0 : 1;
  } finally {
    await provider.close();
  }
}

async function deleteAll(provider: Provider, vms: readonly Vm[], request: DestroyRequest): Promise<number> {
  const left = [...vms];
  let failed = 0;
  const worker = async (): Promise<void> => {
    for (let vm = left.pop(); vm !== undefined; vm = left.pop()) {
      try {
        await provider.delete({ name: vm.name, id: vm.id }, request.signal);
        request.write(`deleted ${vm.name} (${vm.id})\n`);
      } catch (error) {
        request.signal.throwIfAborted();
        failed++;
        request.write(`NOT deleted ${vm.name} (${vm.id}): ${describeError(error)}\n`);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENCY, vms.length) }, worker));
  return failed;
}
