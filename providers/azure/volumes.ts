import type { ComputeManagementClient } from "@azure/arm-compute";
import { invalidRequest } from "../../src/errors/index.ts";
import type { Clock, Log } from "../../src/platform/index.ts";
import type { VmRequest } from "../contract.ts";
import { normalRegion, parseArmId, toCaaError } from "./arm/index.ts";
import type { AzureConfig } from "./config.ts";
import type { Placement } from "./placement.ts";

interface VolumeDeps {
  readonly compute: ComputeManagementClient;
  readonly config: AzureConfig;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Looks at the disks before the VM is asked for: how many the size takes, and whether each exists, is free, and lies in the
 * VM's region and zone. All problems come in one `invalid-request`. Credentials, throttling and lost connections are thrown
 * as they are.
 */
export async function checkVolumes(
  deps: VolumeDeps,
  request: Pick<VmRequest, "volumes">,
  at: { readonly placement: Placement; readonly signal: AbortSignal },
): Promise<void> {
  const { placement, signal } = at;
  if (request.volumes.length === 0) return;
  const most = placement.known?.maxDataDisks;
  if (most === undefined)
    deps.log.warn("the number of data disks is not checked: the size is unknown", { step: "volumes" });
  else if (request.volumes.length > most) {
    throw invalidRequest(
      `requested ${request.volumes.length} data disks but VM size ${placement.size} supports at most ${most}: use fewer volumes or a larger size`,
    );
  }
  const found = await Promise.all(
    request.volumes.map((volume) => checkDisk(deps, { diskId: volume.diskId, zone: placement.zone }, signal)),
  );
  const problems = found.filter((problem) => problem !== undefined);
  if (problems.length > 0)
    throw invalidRequest(`the pod's volumes cannot be attached: ${problems.join("; ")}`);
}

async function checkDisk(
  deps: VolumeDeps,
  wanted: { readonly diskId: string; readonly zone: string },
  signal: AbortSignal,
): Promise<string | undefined> {
  const { diskId, zone } = wanted;
  const id = parseArmId(diskId);
  if (id?.type.toLowerCase() !== "microsoft.compute/disks") {
    deps.log.warn("a volume is not checked: its id is not a managed disk's", { step: "volumes", diskId });
    return undefined;
  }
  let disk: Awaited<ReturnType<ComputeManagementClient["disks"]["get"]>>;
  try {
    disk = await deps.compute.disks.get(id.resourceGroup, id.name, { abortSignal: signal });
  } catch (error) {
    const failed = toCaaError(error, { what: `read disk ${id.name}`, nowMs: deps.clock.wallMs(), signal });
    if (failed.kind === "gone") return `disk ${id.name} does not exist`;
    if (failed.kind === "invalid-request") return `disk ${id.name} is inaccessible: ${failed.message}`;
    throw failed;
  }
  if (disk.diskState === "Attached" || disk.diskState === "Reserved") {
    return `disk ${id.name} is ${disk.diskState.toLowerCase()}, held by ${disk.managedBy ?? "another VM"}`;
  }
  if (normalRegion(disk.location) !== normalRegion(deps.config.region)) {
    return `disk ${id.name} is in ${disk.location} and the VM in ${deps.config.region}`;
  }
  const zones = disk.zones ?? [];
  if (zones.length > 0 && !zones.includes(zone)) {
    return `disk ${id.name} is in zone ${zones.join(", ")} and the VM in ${zone === "" ? "none" : `zone ${zone}`}: set AZURE_ZONE`;
  }
  return undefined;
}
