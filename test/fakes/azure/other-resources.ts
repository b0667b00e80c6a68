import { type ArmAnswer, ArmRefusal, type ArmRequest, empty, json, sameId } from "./answers.ts";
import { skuEntry } from "./catalogue.ts";
import type { FakeDisk, FakeNic, FakePublicIp } from "./store.ts";
import { coresUsed } from "./virtual-machines.ts";
import type { World } from "./world.ts";

const NETWORK_VERSION = "2026-01-01";
const DISK_VERSION = "2026-03-02";

function absent(type: string, name: string): ArmRefusal {
  return new ArmRefusal(404, "ResourceNotFound", `The Resource '${type}/${name}' was not found.`);
}

/** NetworkInterface (networkInterface.json). */
export function viewNic(world: World, nic: FakeNic): object {
  const known = nic.address !== "" && world.clock.monotonicMs() >= nic.addressFromMs;
  return {
    name: nic.name,
    id: world.id("Microsoft.Network/networkInterfaces", nic.name),
    type: "Microsoft.Network/networkInterfaces",
    location: world.settings.region,
    tags: nic.tags,
    properties: {
      provisioningState: "Succeeded",
      primary: nic.primary,
      ...(nic.vm === ""
        ? {}
        : { virtualMachine: { id: world.id("Microsoft.Compute/virtualMachines", nic.vm) } }),
      ipConfigurations: [
        {
          name: "ip-config",
          properties: {
            primary: true,
            privateIPAllocationMethod: "Dynamic",
            subnet: { id: nic.subnetId },
            ...(known ? { privateIPAddress: nic.address } : {}),
            ...(nic.publicIp === undefined
              ? {}
              : { publicIPAddress: { id: world.id("Microsoft.Network/publicIPAddresses", nic.publicIp) } }),
          },
        },
      ],
    },
  };
}

export function getNic(world: World, name: string): ArmAnswer {
  const nic = world.nics.get(name);
  if (!nic) throw absent("Microsoft.Network/networkInterfaces", name);
  return json(200, viewNic(world, nic));
}

/** DELETE networkInterfaces/{name}: refused while a VM has it, and 180 s after one failed. */
export function deleteNic(world: World, name: string, request: ArmRequest): ArmAnswer {
  const nic = world.nics.get(name);
  if (!nic) return empty(204);
  if (nic.vm !== "")
    throw new ArmRefusal(
      400,
      "NicInUse",
      `Network Interface ${name} is used by existing resource ${nic.vm}.`,
    );
  if (nic.reservedUntilMs > world.clock.monotonicMs()) {
    throw new ArmRefusal(
      400,
      "NicReservedForAnotherVm",
      `Nic(s) in request is reserved for another Virtual Machine for 180 seconds. Please provide another nic(s) or retry after 180 seconds. Reserved NIC(s): ${name}`,
    );
  }
  return later(world, "Microsoft.Network", request, () => world.nics.remove(name));
}

/** PublicIPAddress (publicIpAddress.json). */
export function viewPublicIp(world: World, address: FakePublicIp): object {
  return {
    name: address.name,
    id: world.id("Microsoft.Network/publicIPAddresses", address.name),
    type: "Microsoft.Network/publicIPAddresses",
    location: world.settings.region,
    tags: address.tags,
    sku: { name: "Standard", tier: "Regional" },
    properties: {
      provisioningState: "Succeeded",
      publicIPAllocationMethod: "Static",
      ...(world.clock.monotonicMs() >= address.fromMs ? { ipAddress: address.address } : {}),
    },
  };
}

export function getPublicIp(world: World, name: string): ArmAnswer {
  const address = world.publicIps.get(name);
  if (!address) throw absent("Microsoft.Network/publicIPAddresses", name);
  return json(200, viewPublicIp(world, address));
}

export function deletePublicIp(world: World, name: string, request: ArmRequest): ArmAnswer {
  if (!world.publicIps.get(name)) return empty(204);
  if (world.nics.all().some((nic) => nic.publicIp === name)) {
    throw new ArmRefusal(
      400,
      "PublicIPAddressCannotBeDeleted",
      `Public IP address ${name} can not be deleted since it is still allocated.`,
    );
  }
  return later(world, "Microsoft.Network", request, () => world.publicIps.remove(name));
}

/** Disk (DiskRP.json). */
export function viewDisk(world: World, disk: FakeDisk): object {
  return {
    name: disk.name,
    id: world.id("Microsoft.Compute/disks", disk.name),
    type: "Microsoft.Compute/disks",
    location: disk.location,
    tags: disk.tags,
    ...(disk.zones.length > 0 ? { zones: disk.zones } : {}),
    ...(disk.vm === "" ? {} : { managedBy: world.id("Microsoft.Compute/virtualMachines", disk.vm) }),
    properties: {
      provisioningState: "Succeeded",
      diskState: disk.vm === "" ? "Unattached" : "Attached",
      timeCreated: new Date(disk.createdAtMs).toISOString(),
      creationData: { createOption: "Empty" },
    },
  };
}

export function getDisk(world: World, name: string): ArmAnswer {
  const disk = world.disks.get(name);
  if (!disk) throw absent("Microsoft.Compute/disks", name);
  return json(200, viewDisk(world, disk));
}

export function deleteDisk(world: World, name: string, request: ArmRequest): ArmAnswer {
  const disk = world.disks.get(name);
  if (!disk) return empty(204);
  if (disk.vm !== "")
    throw new ArmRefusal(409, "OperationNotAllowed", `Disk ${name} is attached to VM ${disk.vm}.`);
  return later(world, "Microsoft.Compute", request, () => world.disks.remove(name));
}

function later(
  world: World,
  provider: "Microsoft.Compute" | "Microsoft.Network",
  request: ArmRequest,
  act: () => void,
): ArmAnswer {
  const operation = world.operation(provider);
  world.clock.schedule(world.settings.deleteMs / 4, () => {
    act();
    operation.status = "Succeeded";
  });
  const version = provider === "Microsoft.Compute" ? DISK_VERSION : NETWORK_VERSION;
  return empty(202, world.operationHeaders(operation, version, request.url.origin));
}

/** Subnet (virtualNetwork.json). */
export function getSubnet(world: World, id: string): ArmAnswer {
  if (!sameId(id, world.settings.subnetId)) throw absent("Microsoft.Network/virtualNetworks/subnets", id);
  return json(200, {
    id: world.settings.subnetId,
    name: world.settings.subnetId.split("/").at(-1),
    properties: {
      addressPrefix: "10.1.0.0/16",
      provisioningState: "Succeeded",
      natGateway: { id: world.id("Microsoft.Network/natGateways", "nat") },
      ipConfigurations: world.nics.all().map((nic) => ({ id: `${nic.name}/ip-config` })),
    },
  });
}

/** An image or a version of one, by its id or by the path of a community or shared gallery. */
export function getImage(world: World, id: string): ArmAnswer {
  const wanted = id.toLowerCase();
  const found = world.settings.images.find(
    (image) => image.toLowerCase() === wanted || image.toLowerCase().startsWith(`${wanted}/`),
  );
  if (found === undefined) throw absent("Microsoft.Compute/galleries/images", id);
  return json(200, {
    id: found,
    name: found.split("/").at(-1),
    location: world.settings.region,
    properties: {
      provisioningState: "Succeeded",
      publishingProfile: { targetRegions: [{ name: "East US", regionalReplicaCount: 1 }] },
    },
  });
}

/** ResourceSkusResult (skus.json 2021-07-01), filtered by location. */
export function listSkus(world: World, request: ArmRequest): object[] {
  const region = /^location eq '([^']+)'$/.exec(request.url.searchParams.get("$filter") ?? "")?.[1];
  if (region?.toLowerCase() !== world.settings.region) return [];
  return [
    { resourceType: "disks", name: "Premium_LRS", locations: [region] },
    ...world.settings.sizes.map((size) => skuEntry(size, world.settings.region)),
  ];
}

/** ListUsagesResult (ComputeRP.json). */
export function listUsage(world: World): object[] {
  const families = new Set(["cores", ...world.settings.sizes.map((size) => size.family)]);
  return [...families].map((family) => {
    const { limit, used } = coresUsed(world, family);
    return {
      unit: "Count",
      currentValue: used,
      limit,
      name: { value: family, localizedValue: `${family} vCPUs` },
    };
  });
}

/** OperationStatus: what an Azure-AsyncOperation URL answers. */
export function getOperation(world: World, id: string): ArmAnswer {
  const operation = world.operations.get(id);
  if (!operation) throw new ArmRefusal(404, "NotFound", `Operation ${id} was not found.`);
  return json(
    200,
    {
      name: operation.id,
      startTime: new Date(operation.startMs).toISOString(),
      status: operation.status,
      ...(operation.error ? { error: operation.error } : {}),
    },
    operation.status === "InProgress" ? { "retry-after": "10" } : {},
  );
}
