import type { VirtualMachine, VirtualMachineNetworkInterfaceConfiguration } from "@azure/arm-compute";
import type { VmRequest } from "../contract.ts";
import type { AzureConfig } from "./config.ts";
import type { ImageChoice } from "./image.ts";

/** The tag that says which VM an interface, address or disk was made for. */
export const VM_TAG = "peerpods-vm";
/** The tag with the time of the create call, ISO 8601. */
export const CREATED_TAG = "peerpods-created";

/** The one version of the network API that both Go's adaptor and the published definition name for implicit interfaces. */
const NETWORK_API_VERSION = "2020-11-01";

export interface VmPlan {
  readonly config: AzureConfig;
  readonly request: VmRequest;
  readonly size: string;
  /** "" when no zone is asked for. */
  readonly zone: string;
  readonly confidential: boolean;
  readonly image: ImageChoice;
  readonly sshPublicKey: string;
  readonly createdAtMs: number;
}

/** Most interfaces of a VM: its own, one for the tunnel, one for egress. */
const MAX_NICS = 3;

/** Names of what Azure makes along with a VM; of the interfaces as many as a VM can have, the primary first. */
export function companionNames(vmName: string): { readonly disk: string; readonly nics: readonly string[] } {
  const nics = Array.from({ length: MAX_NICS }, (_, at) =>
    at === 0 ? `${vmName}-net` : `${vmName}-net-${at}`,
  );
  return { disk: `${vmName}-disk`, nics };
}

/** Tags of the VM and all that is made with it. The owner's keys win over the user's. */
export function tagsOf(plan: Pick<VmPlan, "config" | "request" | "createdAtMs">): Record<string, string> {
  return {
    ...plan.config.tags,
    [VM_TAG]: plan.request.name,
    [CREATED_TAG]: new Date(plan.createdAtMs).toISOString(),
    ...plan.request.tags,
  };
}

/** The body of the create call: Microsoft.Compute virtualMachines, 2026-04-01, with an implicit interface and OS disk. */
export function buildVm(plan: VmPlan): VirtualMachine {
  const { config, request } = plan;
  const names = companionNames(request.name);
  return {
    location: config.region,
    tags: tagsOf(plan),
    ...(plan.zone === "" ? {} : { zones: [plan.zone] }),
    hardwareProfile: { vmSize: plan.size },
    storageProfile: {
      imageReference: plan.image,
      osDisk: {
        name: names.disk,
        createOption: "FromImage",
        caching: "ReadWrite",
        deleteOption: "Delete",
        ...(config.rootVolumeGB > 0 ? { diskSizeGB: config.rootVolumeGB } : {}),
        managedDisk: {
          storageAccountType: "Premium_LRS",
          ...(plan.confidential ? { securityProfile: { securityEncryptionType: "VMGuestStateOnly" } } : {}),
        },
      },
      dataDisks: request.volumes.map((volume, lun) => ({
        lun,
        createOption: "Attach",
        deleteOption: "Detach",
        managedDisk: { id: volume.diskId },
      })),
    },
    osProfile: {
      adminUsername: config.sshUser,
      computerName: request.name,
      linuxConfiguration: {
        disablePasswordAuthentication: true,
        ssh: {
          publicKeys: [{ path: `/home/${config.sshUser}/.ssh/authorized_keys`, keyData: plan.sshPublicKey }],
        },
      },
    },
    networkProfile: {
      networkApiVersion: NETWORK_API_VERSION,
      networkInterfaceConfigurations: names.nics
        .slice(0, interfacesOf(request))
        .map((name, at) => buildNic(plan, { name, primary: at === 0 })),
    },
    // Left out for ordinary VMs: since 2025-11-01 an unset securityType means Standard (published definition, SecurityTypes),
    // while naming Standard needs a feature registration of the subscription.
    ...(plan.confidential
      ? {
          securityProfile: {
            securityType: "ConfidentialVM",
            uefiSettings: { secureBootEnabled: config.secureBoot, vTpmEnabled: true },
          },
        }
      : {}),
    diagnosticsProfile: { bootDiagnostics: { enabled: true } },
    userData: encodeUserData(request.userData.reveal()),
  };
}

function interfacesOf(request: VmRequest): number {
  return 1 + Number(request.dedicatedTunnelInterface) + Number(request.externalNetworkInterface);
}

function buildNic(
  plan: VmPlan,
  nic: { readonly name: string; readonly primary: boolean },
): VirtualMachineNetworkInterfaceConfiguration {
  const { config } = plan;
  const { name, primary } = nic;
  const tags = tagsOf(plan);
  return {
    name,
    tags,
    primary,
    deleteOption: "Delete",
    ...(config.securityGroupId === "" ? {} : { networkSecurityGroup: { id: config.securityGroupId } }),
    ipConfigurations: [
      {
        name: "ip-config",
        primary: true,
        subnet: { id: config.subnetId },
        ...(config.publicIp && primary
          ? {
              publicIPAddressConfiguration: {
                name,
                tags,
                deleteOption: "Delete",
                sku: { name: "Standard", tier: "Regional" },
                publicIPAllocationMethod: "Static",
              },
            }
          : {}),
      },
    ],
  };
}

/** Azure takes 65,536 characters of base64, and hands them to the guest at 169.254.169.254. */
export const MAX_USER_DATA_BYTES = 49_152;

/** User data as Azure wants it. */
export function encodeUserData(userData: string): string {
  return Buffer.from(userData, "utf8").toString("base64");
}
