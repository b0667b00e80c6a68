import type { VirtualMachine } from "@azure/arm-compute";
import { invalidRequest } from "../../src/errors/index.ts";
import { type ListFilter, OwnerTag, type Vm, type VmRef } from "../contract.ts";
import { readAddresses } from "./addresses.ts";
import { sameArm } from "./arm/index.ts";
import { type AzureDeps, locateVm, translator, vmId } from "./deps.ts";
import { type Companion, isNamedFor, listCompanions } from "./leftovers.ts";
import { CREATED_TAG, VM_TAG } from "./vm-body.ts";
import { viewVm } from "./vm-view.ts";

/** One VM with its state and addresses; undefined when Azure knows none of that name. */
export async function getVm(deps: AzureDeps, ref: VmRef, signal: AbortSignal): Promise<Vm | undefined> {
  const target = locateVm(deps.config, ref);
  const translate = translator(deps, signal);
  const what = `read VM ${target.name}`;
  try {
    const vm = await deps.clients.compute.virtualMachines.get(target.group, target.name, {
      expand: "instanceView",
      abortSignal: signal,
    });
    const { network } = deps.clients;
    const lookup = { network, clock: deps.clock, publicIp: deps.config.publicIp };
    const { addresses } = await readAddresses(lookup, vm, signal);
    return viewVm(vm, addresses);
  } catch (error) {
    const failed = translate(error, what);
    if (failed.kind === "gone") return undefined;
    throw failed;
  }
}

/**
 * All our VMs of the cluster, or of one node, and those whose name is given. What is left of a VM that does not exist any
 * more is listed as a failed one, so that whoever reaps finds it.
 */
export async function listVms(
  deps: AzureDeps,
  filter: ListFilter,
  signal: AbortSignal,
): Promise<readonly Vm[]> {
  const group = deps.config.resourceGroup;
  if (filter.clusterId === "") {
    throw invalidRequest("a list of VMs needs a cluster: without CLUSTER_ID it would mean everybody's");
  }
  try {
    const [vms, companions] = await Promise.all([
      deps.groups.get(group).vms.get(signal),
      listCompanions(deps, group, signal),
    ]);
    const wanted = vms.filter((vm) => matches(filter, vm.tags ?? {}, vm.name ?? ""));
    const remains = remainsOf(filter, companions, new Set(vms.map((vm) => vm.name ?? "")));
    const confirmed = await Promise.all(
      [...remains].map(async ([name, companion]) => {
        // The lists are not of one moment: a VM that one of them does not show yet would look like its own remains.
        const vm = await deps.groups.get(group).find(name, signal);
        return vm ? viewVm(vm, []) : viewRemains(deps, name, companion);
      }),
    );
    return [...wanted.map((vm: VirtualMachine) => viewVm(vm, [])), ...confirmed];
  } catch (error) {
    throw translator(deps, signal)(error, `list the VMs of ${group}`);
  }
}

function matches(filter: ListFilter, tags: Readonly<Record<string, string>>, name: string): boolean {
  if (filter.names?.includes(name)) return true;
  return (
    tags[OwnerTag.Cluster] === filter.clusterId &&
    (filter.nodeName === undefined || tags[OwnerTag.Node] === filter.nodeName)
  );
}

function remainsOf(
  filter: ListFilter,
  companions: readonly Companion[],
  living: ReadonlySet<string>,
): ReadonlyMap<string, Companion> {
  const remains = new Map<string, Companion>();
  const names = filter.names ?? [];
  for (const one of companions) {
    const byName = names.find((name) => isNamedFor(one, name));
    const vmName = one.tags[VM_TAG] ?? byName;
    if (vmName === undefined || living.has(vmName)) continue;
    if (one.attachedTo !== "" && !sameArm(one.attachedTo, vmName)) continue;
    if (matches(filter, one.tags, vmName) && !remains.has(vmName)) remains.set(vmName, one);
  }
  return remains;
}

function viewRemains(deps: AzureDeps, name: string, companion: Companion): Vm {
  const createdAtMs = companion.createdAtMs ?? Date.parse(companion.tags[CREATED_TAG] ?? "");
  return {
    id: vmId(deps.config, { group: deps.config.resourceGroup, name }),
    name,
    lifecycle: "failed",
    addresses: [],
    tags: companion.tags,
    ...(Number.isNaN(createdAtMs) ? {} : { createdAtMs }),
    detail: `the VM does not exist, but its ${companion.kind} ${companion.name} does`,
  };
}
