import * as v from "valibot";
import { type ArmAnswer, ArmRefusal, type ArmRequest, empty, json, sameId } from "./answers.ts";
import { type FakeSize, isSgx } from "./catalogue.ts";
import {
  bodyProblem,
  type NicConfigurationBody,
  VirtualMachineBody,
  VirtualMachineUpdateBody,
  type VmPropertiesBody,
} from "./schemas.ts";
import type { FakeVm } from "./store.ts";
import type { World } from "./world.ts";

const VERSION = "2026-04-01";
const COMPUTE = "Microsoft.Compute";
/** How long an interface stays reserved for a VM that failed. */
const NIC_RESERVED_MS = 180_000;

/** Reads a JSON body by a schema; refuses as ARM does. */
function decode<T>(schema: v.GenericSchema<unknown, T>, request: ArmRequest): T {
  let parsed: unknown;
  try {
    parsed = JSON.parse(request.body);
  } catch {
    throw new ArmRefusal(
      400,
      "InvalidRequestContent",
      "The request content was invalid and could not be deserialized.",
    );
  }
  const result = v.safeParse(schema, parsed);
  if (result.success) return result.output;
  const problem = bodyProblem(result.issues[0]);
  throw new ArmRefusal(400, problem.code, problem.message);
}

/** PUT virtualMachines/{name}. */
export function putVm(world: World, name: string, request: ArmRequest): ArmAnswer {
  const body = decode(VirtualMachineBody, request);
  const guard = request.headers.get("if-none-match");
  if (guard !== undefined && guard !== "*") {
    throw new ArmRefusal(400, "InvalidHeaderValue", "If-None-Match takes * only.");
  }
  if (world.vms.get(name)) {
    if (guard !== "*")
      throw new ArmRefusal(409, "PropertyChangeNotAllowed", "Changing this VM is not part of the fake.");
    throw new ArmRefusal(412, "PreconditionFailed", `The resource ${name} exists and If-None-Match is *.`);
  }
  const size = checkPlacement(world, body);
  checkBody(world, body, size);
  const vm = makeVm(world, { name, body, size: size.name });
  void bringUp(world, vm, size);
  return json(201, viewVm(world, vm, ""), world.operationHeaders(vm.create, VERSION, request.url.origin));
}

function placeOf(body: VirtualMachineBody): string {
  const size = body.properties?.hardwareProfile?.vmSize ?? "";
  const zone = body.zones?.[0];
  return zone === undefined ? size : `${size}/${zone}`;
}

function checkPlacement(world: World, body: VirtualMachineBody): FakeSize {
  const { settings } = world;
  if (body.location.toLowerCase().replaceAll(" ", "") !== settings.region) {
    throw new ArmRefusal(
      400,
      "LocationNotAvailableForResourceType",
      `The provided location '${body.location}' is not available.`,
    );
  }
  const wanted = body.properties?.hardwareProfile?.vmSize ?? "";
  const zone = body.zones?.[0];
  const size = settings.sizes.find((one) => one.name === wanted);
  const closed =
    size?.restricted === "region" || (zone !== undefined && (size?.restricted ?? []).includes(zone));
  if (!size || closed || (zone !== undefined && !size.zones.includes(zone))) {
    throw new ArmRefusal(
      409,
      "SkuNotAvailable",
      `The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: ${wanted}' is currently not available in location '${settings.region}' zones '${zone ?? ""}' for subscription. Please try another size or deploy to a different location or zones.`,
    );
  }
  if (settings.full[placeOf(body)] === "refuse") {
    throw new ArmRefusal(
      409,
      "AllocationFailed",
      "Allocation failed. We do not have sufficient capacity for the requested VM size in this region.",
    );
  }
  checkQuota(world, size);
  return size;
}

/** Cores in use: those of others, and of our own VMs of the family. */
export function coresUsed(world: World, family: string): { readonly limit: number; readonly used: number } {
  const quota = world.settings.quotas[family] ?? { limit: 1000, used: 0 };
  const ours = world.vms
    .all()
    .map((vm) => world.settings.sizes.find((size) => size.name === vm.size))
    .filter((size) => family === "cores" || size?.family === family)
    .reduce((sum, size) => sum + (size?.vcpus ?? 0), 0);
  return { limit: quota.limit, used: quota.used + ours };
}

function checkQuota(world: World, size: FakeSize): void {
  for (const family of [size.family, "cores"]) {
    const { limit, used } = coresUsed(world, family);
    if (used + size.vcpus <= limit) continue;
    throw new ArmRefusal(
      409,
      "OperationNotAllowed",
      `Operation could not be completed as it results in exceeding approved ${family} Cores quota. Additional details - Deployment Model: Resource Manager, Location: ${world.settings.region}, Current Limit: ${limit}, Current Usage: ${used}, Additional Required: ${size.vcpus}, (Minimum) New Limit Required: ${used + size.vcpus}. Submit a request for Quota increase.`,
    );
  }
}

/** What the definition cannot say: fields that go together, and things that must exist. */
function checkBody(world: World, body: VirtualMachineBody, size: FakeSize): void {
  const p = body.properties ?? {};
  const wrong = (message: string, code = "InvalidParameter", status = 400): never => {
    throw new ArmRefusal(status, code, message);
  };
  const disk = p.storageProfile?.osDisk;
  if (disk?.createOption !== "FromImage")
    wrong("Required parameter 'storageProfile.osDisk' is missing or of another kind.");
  checkSecurity(p, size, wrong);
  const image: Readonly<Record<string, string | undefined>> = p.storageProfile?.imageReference ?? {};
  const ways = ["id", "communityGalleryImageId", "sharedGalleryImageId", "publisher"].filter(
    (way) => image[way] !== undefined,
  );
  if (ways.length !== 1) wrong("imageReference must name one image.", "InvalidParameter");
  const text = image["publisher"]
    ? `${image["publisher"]}:${image["offer"]}:${image["sku"]}:${image["version"]}`
    : (image["id"] ?? image["communityGalleryImageId"] ?? image["sharedGalleryImageId"] ?? "");
  if (
    !world.settings.images.some(
      (known) => sameId(known, text) || known.toLowerCase().startsWith(`${text.toLowerCase()}/versions/`),
    )
  ) {
    wrong(
      `The gallery image ${text} is not available in ${world.settings.region} region.`,
      "GalleryImageNotFound",
      404,
    );
  }
  const linux = p.osProfile?.linuxConfiguration;
  if (!p.osProfile?.adminUsername) wrong("Required parameter 'adminUsername' is missing (null).");
  if (!linux?.disablePasswordAuthentication || !linux.ssh?.publicKeys?.[0]?.keyData)
    wrong("Authentication using either SSH or by user name and password must be enabled in Linux profile.");
  checkNetwork(world, p.networkProfile, wrong);
  checkDataDisks(world, body, size);
}

type Refuse = (message: string, code?: string, status?: number) => never;
type Properties = VmPropertiesBody;

function checkSecurity(p: Properties, size: FakeSize, wrong: Refuse): void {
  const type = p.securityProfile?.securityType;
  const encryption = p.storageProfile?.osDisk?.managedDisk?.securityProfile?.securityEncryptionType;
  if (type === "ConfidentialVM") {
    if (!size.confidential || isSgx(size)) {
      wrong(
        `The VM size '${size.name}' is not supported for creation of VMs and Virtual Machine Scale Set with security type 'ConfidentialVM' and OS disk security encryption type 'VMGuestStateOnly'.`,
        "BadRequest",
      );
    }
    if (encryption === undefined)
      wrong(
        "osDisk.managedDisk.securityProfile.securityEncryptionType is required for ConfidentialVM.",
        "BadRequest",
      );
    if (p.securityProfile?.uefiSettings?.vTpmEnabled !== true)
      wrong("vTpmEnabled must be true for ConfidentialVM.", "BadRequest");
    return;
  }
  if (encryption !== undefined)
    wrong("securityEncryptionType can be set for Confidential VMs only.", "BadRequest");
  if (p.securityProfile?.uefiSettings !== undefined && type !== "TrustedLaunch")
    wrong("UefiSettings need a securityType.", "BadRequest");
}

function checkNetwork(world: World, network: Properties["networkProfile"], wrong: Refuse): void {
  const nics = network?.networkInterfaceConfigurations ?? [];
  if (nics.length === 0) wrong("The networkProfile must have at least one network interface.");
  if (network?.networkApiVersion === undefined)
    wrong("networkApiVersion is required with networkInterfaceConfigurations.");
  if (nics.length > 1 && nics.filter((nic) => nic.properties?.primary === true).length !== 1) {
    wrong(
      "Exactly one of several network interfaces must be primary.",
      "VirtualMachineMustHaveOneNetworkInterfaceAsPrimary",
    );
  }
  for (const nic of nics) {
    for (const ip of nic.properties?.ipConfigurations ?? []) {
      const subnet = ip.properties?.subnet?.id;
      if (!sameId(subnet, world.settings.subnetId)) {
        wrong(
          `Resource ${subnet} referenced by resource ${nic.name} was not found.`,
          "InvalidResourceReference",
        );
      }
      const open = ip.properties?.publicIPAddressConfiguration;
      if (open && open.sku?.name !== "Standard")
        wrong("Basic public IP addresses are retired.", "IPv4BasicSkuPublicIpCountLimitReached");
      if (open && open.properties?.publicIPAllocationMethod !== "Static")
        wrong("A Standard public IP address must be Static.", "PublicIPAndAllocationMethodMismatch");
    }
    const group = nic.properties?.networkSecurityGroup?.id;
    if (group !== undefined && !sameId(group, world.settings.securityGroupId)) {
      wrong(`Resource ${group} was not found.`, "InvalidResourceReference");
    }
  }
}

const diskNameOf = (id: string | undefined): string => id?.split("/").at(-1) ?? "";

function checkDataDisks(world: World, body: VirtualMachineBody, size: FakeSize): void {
  const disks = body.properties?.storageProfile?.dataDisks ?? [];
  if (disks.length > (size.maxDataDisks ?? 8)) {
    throw new ArmRefusal(
      409,
      "OperationNotAllowed",
      `The maximum number of data disks allowed to be attached to a VM of this size is ${size.maxDataDisks}.`,
    );
  }
  if (new Set(disks.map((disk) => disk.lun)).size !== disks.length)
    throw new ArmRefusal(400, "InvalidParameter", "LUNs must differ.");
  for (const one of disks) {
    const disk = world.disks.get(diskNameOf(one.managedDisk?.id));
    if (!disk) throw new ArmRefusal(404, "NotFound", `Disk ${one.managedDisk?.id} is not found.`);
    if (disk.vm !== "")
      throw new ArmRefusal(
        409,
        "ConflictingUserInput",
        `Disk ${disk.name} cannot be attached: it is owned by VM ${disk.vm}.`,
      );
  }
}

function makeVm(
  world: World,
  plan: { readonly name: string; readonly body: VirtualMachineBody; readonly size: string },
): FakeVm {
  const { name, body } = plan;
  const p = body.properties ?? {};
  const nics = p.networkProfile?.networkInterfaceConfigurations ?? [];
  const osDisk = p.storageProfile?.osDisk;
  const diskName = osDisk?.name ?? `${name}_OsDisk`;
  const dataDisks = (p.storageProfile?.dataDisks ?? []).map((disk) => diskNameOf(disk.managedDisk?.id));
  const nowMs = world.clock.wallMs();
  for (const nic of nics) makeNic(world, name, nic);
  world.disks.put({
    name: diskName,
    tags: body.tags ?? {},
    location: world.settings.region,
    zones: body.zones ?? [],
    createdAtMs: nowMs,
    vm: name,
    deleteWithVm: osDisk?.deleteOption === "Delete",
  });
  for (const one of dataDisks) {
    const disk = world.disks.get(one);
    if (disk) disk.vm = name;
  }
  const vm: FakeVm = {
    name,
    body,
    tags: body.tags ?? {},
    size: plan.size,
    createdAtMs: nowMs,
    state: "Creating",
    nics: nics.map((nic) => nic.name),
    disk: diskName,
    dataDisks,
    userData: p.userData ?? "",
    create: world.operation(COMPUTE),
    stop: new AbortController(),
  };
  world.vms.put(vm);
  return vm;
}

function makeNic(world: World, vmName: string, nic: NicConfigurationBody): void {
  const open = nic.properties?.ipConfigurations[0]?.properties?.publicIPAddressConfiguration;
  const fromMs = world.clock.monotonicMs() + world.settings.addressDelayMs;
  if (open) {
    world.publicIps.put({
      name: open.name,
      tags: open.tags ?? {},
      address: `203.0.113.${world.number() % 250}`,
      fromMs,
      deleteWithVm: open.properties?.deleteOption === "Delete",
    });
  }
  world.nics.put({
    name: nic.name,
    tags: nic.tags ?? {},
    subnetId: world.settings.subnetId,
    primary: nic.properties?.primary ?? true,
    address: "",
    addressFromMs: fromMs,
    publicIp: open?.name,
    vm: vmName,
    reservedUntilMs: 0,
    deleteWithVm: nic.properties?.deleteOption === "Delete",
  });
}

/** Boots the VM in the background and ends its operation. */
async function bringUp(world: World, vm: FakeVm, size: FakeSize): Promise<void> {
  const { signal } = vm.stop;
  const fail = (code: string, message: string): void => {
    vm.state = "Failed";
    vm.failure = { code, message };
    vm.create.status = "Failed";
    vm.create.error = vm.failure;
    for (const name of vm.nics) {
      const nic = world.nics.get(name);
      if (nic) nic.reservedUntilMs = world.clock.monotonicMs() + NIC_RESERVED_MS;
    }
  };
  try {
    const full = world.settings.full[placeOf(vm.body)] === "later";
    const silent = world.settings.bootFailures > 0;
    if (silent) world.settings.bootFailures -= 1;
    const addresses = await world.booter.boot(
      {
        name: vm.name,
        tags: vm.tags,
        userData: Buffer.from(vm.userData, "base64").toString("utf8"),
        interfaces: vm.nics.length,
      },
      signal,
    );
    for (const [index, name] of vm.nics.entries()) {
      const nic = world.nics.get(name);
      if (nic) nic.address = addresses[index] ?? "";
    }
    await world.clock.sleep(world.settings.createMs, signal);
    if (full)
      fail(
        vm.body.zones ? "ZonalAllocationFailed" : "AllocationFailed",
        `Allocation failed. We do not have sufficient capacity for the requested VM size ${size.name} in this ${vm.body.zones ? "zone" : "region"}.`,
      );
    else if (silent)
      fail(
        "OSProvisioningTimedOut",
        `OS Provisioning for VM '${vm.name}' did not finish in the allotted time. The VM may still finish provisioning successfully.`,
      );
    else {
      vm.state = "Succeeded";
      vm.create.status = "Succeeded";
    }
  } catch (error) {
    if (!signal.aborted)
      fail(
        "VMStartTimedOut",
        `the machine did not boot: ${error instanceof Error ? error.message : String(error)}`,
      );
  }
}

/** DELETE virtualMachines/{name}. */
export function deleteVm(world: World, name: string, request: ArmRequest): ArmAnswer {
  const vm = world.vms.get(name);
  if (!vm) return empty(204);
  const operation = world.operation(COMPUTE);
  if (vm.create.status === "InProgress") {
    vm.create.status = "Canceled";
    vm.create.error = {
      code: "OperationPreempted",
      message: "The operation has been preempted by a more recent operation.",
    };
  }
  vm.state = "Deleting";
  vm.stop.abort();
  void takeDown(world, vm).then(() => {
    operation.status = "Succeeded";
  });
  return empty(202, world.operationHeaders(operation, VERSION, request.url.origin));
}

async function takeDown(world: World, vm: FakeVm): Promise<void> {
  await world.booter.kill(vm.name);
  await world.clock.sleep(world.settings.deleteMs);
  removeVm(world, vm);
}

/** Removes the VM and what goes with it, at once. */
export function removeVm(world: World, vm: FakeVm): void {
  const { forget } = world.settings;
  if (world.vms.get(vm.name) === vm) world.vms.remove(vm.name);
  for (const name of vm.nics) {
    const nic = world.nics.get(name);
    if (!nic || nic.vm !== vm.name) continue;
    nic.vm = "";
    const open = nic.publicIp === undefined ? undefined : world.publicIps.get(nic.publicIp);
    if (open?.deleteWithVm && !forget.includes("publicIp")) world.publicIps.remove(open.name);
    if (nic.deleteWithVm && !forget.includes("nic")) world.nics.remove(name);
  }
  for (const name of [vm.disk, ...vm.dataDisks]) {
    const disk = world.disks.get(name);
    if (!disk || disk.vm !== vm.name) continue;
    disk.vm = "";
    if (disk.deleteWithVm && !forget.includes("disk")) world.disks.remove(name);
  }
}

/** PATCH virtualMachines/{name}: user data and tags. */
export function patchVm(world: World, name: string, request: ArmRequest): ArmAnswer {
  const vm = world.vms.get(name);
  if (!vm) throw notFound(world, name);
  const body = decode(VirtualMachineUpdateBody, request);
  if (body.tags) vm.tags = body.tags;
  const userData = body.properties?.userData;
  if (userData !== undefined) {
    vm.userData = userData;
    void world.booter.setUserData?.(vm.name, Buffer.from(userData, "base64").toString("utf8"));
  }
  return json(200, viewVm(world, vm, ""));
}

/** GET virtualMachines/{name}. */
export function getVm(world: World, name: string, request: ArmRequest): ArmAnswer {
  const vm = world.vms.get(name);
  if (!vm) throw notFound(world, name);
  return json(200, viewVm(world, vm, request.url.searchParams.get("$expand") ?? ""));
}

function notFound(world: World, name: string): ArmRefusal {
  return new ArmRefusal(
    404,
    "ResourceNotFound",
    `The Resource 'Microsoft.Compute/virtualMachines/${name}' under resource group '${world.settings.resourceGroup}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix`,
  );
}

/** VirtualMachine as ARM answers it: no userData, read-only members filled in. */
export function viewVm(world: World, vm: FakeVm, expand: string): object {
  const { userData: _hidden, networkProfile: _asked, ...asked } = vm.body.properties ?? {};
  const statuses =
    vm.state === "Failed"
      ? [
          {
            code: `ProvisioningState/failed/${vm.failure?.code}`,
            level: "Error",
            displayStatus: "Provisioning failed",
            message: vm.failure?.message,
          },
        ]
      : [
          { code: `ProvisioningState/${vm.state.toLowerCase()}`, level: "Info", displayStatus: vm.state },
          { code: "PowerState/running", level: "Info", displayStatus: "VM running" },
        ];
  return {
    name: vm.name,
    id: world.id("Microsoft.Compute/virtualMachines", vm.name),
    type: "Microsoft.Compute/virtualMachines",
    location: world.settings.region,
    tags: vm.tags,
    ...(vm.body.zones ? { zones: vm.body.zones } : {}),
    etag: '"1"',
    properties: {
      ...asked,
      vmId: vm.create.id,
      provisioningState: vm.state,
      timeCreated: new Date(vm.createdAtMs).toISOString(),
      networkProfile: {
        networkInterfaces: vm.nics.map((name) => ({
          id: world.id("Microsoft.Network/networkInterfaces", name),
          properties: { primary: world.nics.get(name)?.primary ?? false, deleteOption: "Delete" },
        })),
      },
      ...(expand === "instanceView" ? { instanceView: { statuses } } : {}),
    },
  };
}
