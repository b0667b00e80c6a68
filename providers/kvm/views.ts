import { internal } from "../../src/errors/index.ts";
import { type ListFilter, OwnerTag, type Vm, type VmLifecycle } from "../contract.ts";
import type { KvmDeps } from "./deps.ts";
import { onHost } from "./host-errors.ts";
import { parseRecord, type VmRecord } from "./record.ts";

/** Console that is kept on the host's disk for each VM, and given to people; bytes. */
export const CONSOLE_BYTES: number = 256 * 1024;

const LIFECYCLES: readonly VmLifecycle[] = ["creating", "running", "stopped", "failed", "deleting"];

/** A VM as its host shows it. */
export interface SeenVm {
  readonly record: VmRecord;
  readonly vm: Vm;
}

const DETAILS: Readonly<Partial<Record<VmLifecycle, string>>> = {
  creating: "its QEMU has not been started",
  stopped: "the VM has turned itself off",
  failed: "its QEMU was killed or crashed",
};

function readLine(line: string): SeenVm {
  const [name = "", state = "", addresses = "", json = "", reason = ""] = line.split("\t");
  const record = parseRecord(json);
  const lifecycle = LIFECYCLES.find((known) => known === state);
  if (lifecycle === undefined || record.name !== name)
    throw internal(`the KVM host shows VM ${name} in state ${state} with the record of ${record.name}`);
  const said = reason.trim();
  const detail = [DETAILS[lifecycle], ...(said === "" ? [] : [said])].join(": ");
  return {
    record,
    vm: {
      id: record.id,
      name,
      lifecycle,
      addresses: addresses.split(" ").filter((address) => address !== ""),
      tags: record.tags,
      createdAtMs: record.createdAtMs,
      ...(detail === "" ? {} : { detail }),
    },
  };
}

/** The VMs of these names, or all that the host has. */
export async function seenVms(
  deps: KvmDeps,
  names: readonly string[] | undefined,
  context: { readonly what: string; readonly signal: AbortSignal },
): Promise<readonly SeenVm[]> {
  if (names?.length === 0) return [];
  const { host, config } = deps;
  const values = { BASE: config.dir, CONSOLE_BYTES };
  const output = await onHost(host, { script: "inspect", values, args: names ?? [] }, context);
  return output
    .split("\n")
    .filter((line) => line !== "")
    .map(readLine);
}

/** All VMs of a cluster, or of one of its nodes, and those of exact names. */
export async function listVms(
  deps: KvmDeps,
  filter: ListFilter,
  signal: AbortSignal,
): Promise<readonly Vm[]> {
  if (filter.clusterId === "") throw internal("the VMs of an unknown cluster were asked for");
  const all = await seenVms(deps, undefined, { what: "listing VMs", signal });
  return all
    .map(({ vm }) => vm)
    .filter(
      ({ name, tags }) =>
        filter.names?.includes(name) === true ||
        (tags[OwnerTag.Cluster] === filter.clusterId &&
          (filter.nodeName === undefined || tags[OwnerTag.Node] === filter.nodeName)),
    );
}
