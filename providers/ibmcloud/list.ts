import { invalidRequest } from "../../src/errors/index.ts";
import { type ListFilter, OwnerTag, type Vm, type VmRef } from "../contract.ts";
import type { Instance, Volume } from "./api/index.ts";
import { type IbmDeps, translator } from "./deps.ts";
import { companionNames } from "./instance-body.ts";
import { viewInstance } from "./instance-view.ts";
import { hasTag, readTags, tagOf, VM_TAG } from "./tags.ts";

type Tags = Readonly<Record<string, string>>;

/** One VM with its state, addresses and tags; undefined when IBM knows none of that id or name. */
export async function getVm(deps: IbmDeps, ref: VmRef, signal: AbortSignal): Promise<Vm | undefined> {
  try {
    const byId = ref.id ? await deps.fleet.find(ref.id, signal) : undefined;
    // After a place without room the same name has another id, which a record made before may not know.
    const instance = byId ?? (await deps.fleet.named(ref.name, signal))[0];
    if (!instance) return undefined;
    const tags = instance.crn === "" ? [] : await deps.api.tagsOf(instance.crn, signal);
    return viewInstance(instance, readTags(tags));
  } catch (error) {
    throw translator(deps, signal)(error, `read VM ${ref.name}`);
  }
}

/**
 * All our VMs of the cluster, or of one node, and those whose name is given. Tags are read from the boot volumes, which have
 * them from the first moment, while the instances' own come later. A boot volume whose VM is gone is listed as a failed
 * one, so that whoever reaps finds it.
 */
export async function listVms(
  deps: IbmDeps,
  filter: ListFilter,
  signal: AbortSignal,
): Promise<readonly Vm[]> {
  if (filter.clusterId === "") {
    throw invalidRequest("a list of VMs needs a cluster: without CLUSTER_ID it would mean everybody's");
  }
  try {
    // Volumes first: an instance that is made in between is then only missed, and never taken for its own remains.
    const volumes = await Array.fromAsync(
      deps.api.volumes({ tag: tagOf(OwnerTag.Cluster, filter.clusterId) }, signal),
    );
    const instances = await deps.fleet.instances.get(signal);
    const tagsOf = tagIndex(volumes);
    const found = instances
      .map((instance) => ({ instance, tags: tagsOf(instance) }))
      .filter(({ instance, tags }) => matches(filter, tags, instance.name));
    const living = new Set(instances.map(({ name }) => companionNames(name).volume));
    const remains = volumes.filter(
      (volume) =>
        volume.volume_attachments.length === 0 &&
        !living.has(volume.name) &&
        matches(filter, readTags(volume.user_tags), ""),
    );
    return [
      ...found.map(({ instance, tags }) => viewInstance(instance, tags)),
      ...remains.flatMap((volume) => viewRemains(volume) ?? []),
    ];
  } catch (error) {
    throw translator(deps, signal)(error, "list the VMs");
  }
}

/** The tags of an instance by its boot volume: attached to it, or named for it. */
function tagIndex(volumes: readonly Volume[]): (instance: Instance) => Tags {
  const byInstance = new Map<string, Tags>();
  const byName = new Map<string, Tags>();
  for (const volume of volumes) {
    const tags = readTags(volume.user_tags);
    byName.set(volume.name, tags);
    for (const { instance } of volume.volume_attachments) if (instance) byInstance.set(instance.id, tags);
  }
  return (instance) => byInstance.get(instance.id) ?? byName.get(companionNames(instance.name).volume) ?? {};
}

function matches(filter: ListFilter, tags: Tags, name: string): boolean {
  if (filter.names?.includes(name)) return true;
  return (
    hasTag(tags, OwnerTag.Cluster, filter.clusterId) &&
    (filter.nodeName === undefined || hasTag(tags, OwnerTag.Node, filter.nodeName))
  );
}

/** Undefined where no VM's name can be told: then it is none of ours. */
function viewRemains(volume: Volume): Vm | undefined {
  const name = readTags(volume.user_tags)[VM_TAG];
  if (name === undefined || companionNames(name).volume !== volume.name) return undefined;
  const createdAtMs = Date.parse(volume.created_at);
  return {
    id: "",
    name,
    lifecycle: "failed",
    addresses: [],
    tags: readTags(volume.user_tags),
    ...(Number.isNaN(createdAtMs) ? {} : { createdAtMs }),
    detail: `the VM does not exist, but its boot volume ${volume.name} does`,
  };
}
