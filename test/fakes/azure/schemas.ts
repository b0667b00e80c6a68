import * as v from "valibot";

/*
 * What the fake takes, from the published definitions in Azure/azure-rest-api-specs:
 * specification/compute/resource-manager/Microsoft.Compute/Compute/stable/2026-04-01/ComputeRP.json.
 * The name of the definition stands above each schema. Objects are strict: ARM's deserializer refuses a member that the
 * definition does not have, and so do these. Members of the definition that are read-only are refused too, but for those
 * that ARM ignores when a client sends back what it read.
 */

type Optional<S extends v.GenericSchema> = v.ExactOptionalSchema<S, undefined>;
const opt = <S extends v.GenericSchema>(schema: S): Optional<S> => v.exactOptional(schema);
const text = v.string();
const flag = v.boolean();
const int32 = v.pipe(v.number(), v.integer(), v.minValue(-(2 ** 31)), v.maxValue(2 ** 31 - 1));

interface SubResourceBody {
  readonly id?: string;
}
type TagsBody = Readonly<Record<string, string>>;

/** One implicit interface of a VM that is asked for. */
export interface NicConfigurationBody {
  readonly name: string;
  readonly tags?: TagsBody;
  readonly properties?: {
    readonly primary?: boolean;
    readonly deleteOption?: "Delete" | "Detach";
    readonly networkSecurityGroup?: SubResourceBody;
    readonly ipConfigurations: readonly {
      readonly name: string;
      readonly properties?: {
        readonly subnet?: SubResourceBody;
        readonly publicIPAddressConfiguration?: {
          readonly name: string;
          readonly tags?: TagsBody;
          readonly sku?: { readonly name?: string };
          readonly properties?: {
            readonly deleteOption?: "Delete" | "Detach";
            readonly publicIPAllocationMethod?: string;
          };
        };
      };
    }[];
  };
}

interface DiskBody {
  readonly name?: string;
  readonly createOption: string;
  readonly deleteOption?: "Delete" | "Detach";
  readonly managedDisk?: SubResourceBody & {
    readonly securityProfile?: { readonly securityEncryptionType?: string };
  };
}

/** What the fake reads of VirtualMachineProperties; the schema below checks all of it. */
export interface VmPropertiesBody {
  readonly hardwareProfile?: { readonly vmSize?: string };
  readonly storageProfile?: {
    readonly imageReference?: Readonly<Record<string, string>>;
    readonly osDisk?: DiskBody;
    readonly dataDisks?: readonly (DiskBody & { readonly lun: number })[];
  };
  readonly osProfile?: {
    readonly computerName?: string;
    readonly adminUsername?: string;
    readonly linuxConfiguration?: {
      readonly disablePasswordAuthentication?: boolean;
      readonly ssh?: { readonly publicKeys?: readonly { readonly keyData?: string }[] };
    };
  };
  readonly networkProfile?: {
    readonly networkApiVersion?: string;
    readonly networkInterfaceConfigurations?: readonly NicConfigurationBody[];
  };
  readonly securityProfile?: {
    readonly securityType?: string;
    readonly uefiSettings?: { readonly secureBootEnabled?: boolean; readonly vTpmEnabled?: boolean };
  };
  readonly userData?: string;
}

/** The body of a create call. */
export interface VirtualMachineBody {
  readonly location: string;
  readonly tags?: TagsBody;
  readonly zones?: readonly string[];
  readonly properties?: VmPropertiesBody;
}

/** The body of a change. */
export interface VirtualMachineUpdateBody {
  readonly tags?: TagsBody;
  readonly properties?: VmPropertiesBody;
}

/** A schema of which only the result's type is told. */
type Reads<T> = v.GenericSchema<unknown, T>;

/** SubResource (common-types/v1/common.json). */
const SubResource = v.strictObject({ id: opt(text) });

/** Tags: TrackedResource and the configurations below. Limits: at most 50, names to 512 characters without <>%&\?/, values to 256. */
const Tags = v.pipe(
  v.record(
    v.pipe(
      text,
      v.minLength(1),
      v.maxLength(512),
      v.regex(/^[^<>%&\\?/]+$/, "has a character that tag names cannot have"),
    ),
    v.pipe(text, v.maxLength(256)),
  ),
  v.check((tags) => Object.keys(tags).length <= 50, "has more than 50 tags"),
);

/** HardwareProfile. */
const HardwareProfile = v.strictObject({
  vmSize: opt(text),
  vmSizeProperties: opt(v.unknown()),
  processorMode: opt(text),
});

/** ImageReference; exactVersion is read-only. */
const ImageReference = v.strictObject({
  id: opt(text),
  publisher: opt(text),
  offer: opt(text),
  sku: opt(text),
  version: opt(text),
  sharedGalleryImageId: opt(text),
  communityGalleryImageId: opt(text),
});

/** VMDiskSecurityProfile. */
const DiskSecurityProfile = v.strictObject({
  securityEncryptionType: opt(v.picklist(["VMGuestStateOnly", "DiskWithVMGuestState", "NonPersistedTPM"])),
  diskEncryptionSet: opt(SubResource),
});

/** ManagedDiskParameters, with the id of SubResource. */
const ManagedDisk = v.strictObject({
  id: opt(text),
  storageAccountType: opt(
    v.picklist([
      "Standard_LRS",
      "Premium_LRS",
      "StandardSSD_LRS",
      "UltraSSD_LRS",
      "Premium_ZRS",
      "StandardSSD_ZRS",
      "PremiumV2_LRS",
    ]),
  ),
  diskEncryptionSet: opt(SubResource),
  securityProfile: opt(DiskSecurityProfile),
});

const CreateOption = v.picklist(["FromImage", "Empty", "Attach", "Copy", "Restore"]);
const DeleteOption = v.picklist(["Delete", "Detach"]);
const Caching = v.picklist(["None", "ReadOnly", "ReadWrite"]);

/** OSDisk. */
const OsDisk = v.strictObject({
  osType: opt(v.picklist(["Windows", "Linux"])),
  name: opt(v.pipe(text, v.maxLength(80))),
  caching: opt(Caching),
  writeAcceleratorEnabled: opt(flag),
  createOption: CreateOption,
  diskSizeGB: opt(v.pipe(int32, v.minValue(1))),
  managedDisk: opt(ManagedDisk),
  deleteOption: opt(DeleteOption),
});

/** DataDisk. */
const DataDisk = v.strictObject({
  lun: v.pipe(int32, v.minValue(0)),
  name: opt(text),
  caching: opt(Caching),
  createOption: CreateOption,
  diskSizeGB: opt(int32),
  managedDisk: opt(ManagedDisk),
  deleteOption: opt(DeleteOption),
  toBeDetached: opt(flag),
});

/** StorageProfile. */
const StorageProfile = v.strictObject({
  imageReference: opt(ImageReference),
  osDisk: opt(OsDisk),
  dataDisks: opt(v.array(DataDisk)),
  diskControllerType: opt(v.picklist(["SCSI", "NVMe"])),
});

/** SshPublicKey: "at least 2048-bit and in ssh-rsa format". */
const SshPublicKey = v.strictObject({
  path: opt(v.pipe(text, v.regex(/^\/home\/[^/]+\/\.ssh\/authorized_keys$/))),
  keyData: opt(v.pipe(text, v.regex(/^ssh-(rsa|ed25519) [A-Za-z0-9+/=]{60,}/, "is not an SSH public key"))),
});

/** OSProfile and LinuxConfiguration. */
const OsProfile = v.strictObject({
  computerName: opt(v.pipe(text, v.regex(/^[A-Za-z0-9]([A-Za-z0-9-]{0,62}[A-Za-z0-9])?$/))),
  adminUsername: opt(v.pipe(text, v.minLength(1), v.maxLength(64))),
  adminPassword: opt(text),
  customData: opt(text),
  linuxConfiguration: opt(
    v.strictObject({
      disablePasswordAuthentication: opt(flag),
      ssh: opt(v.strictObject({ publicKeys: opt(v.array(SshPublicKey)) })),
      provisionVMAgent: opt(flag),
      enableVMAgentPlatformUpdates: opt(flag),
    }),
  ),
  allowExtensionOperations: opt(flag),
  requireGuestProvisionSignal: opt(flag),
});

/** VirtualMachinePublicIPAddressConfiguration and its properties, PublicIPAddressSku. */
const PublicIpConfiguration = v.strictObject({
  name: text,
  sku: opt(
    v.strictObject({
      name: opt(v.picklist(["Basic", "Standard"])),
      tier: opt(v.picklist(["Regional", "Global"])),
    }),
  ),
  tags: opt(Tags),
  properties: opt(
    v.strictObject({
      idleTimeoutInMinutes: opt(int32),
      deleteOption: opt(DeleteOption),
      publicIPPrefix: opt(SubResource),
      publicIPAddressVersion: opt(v.picklist(["IPv4", "IPv6"])),
      publicIPAllocationMethod: opt(v.picklist(["Dynamic", "Static"])),
    }),
  ),
});

/** VirtualMachineNetworkInterfaceIPConfiguration and its properties. */
const IpConfiguration = v.strictObject({
  name: text,
  properties: opt(
    v.strictObject({
      subnet: opt(SubResource),
      primary: opt(flag),
      publicIPAddressConfiguration: opt(PublicIpConfiguration),
      privateIPAddressVersion: opt(v.picklist(["IPv4", "IPv6"])),
      applicationSecurityGroups: opt(v.array(SubResource)),
    }),
  ),
});

/** VirtualMachineNetworkInterfaceConfiguration and its properties. */
const NicConfiguration = v.strictObject({
  name: v.pipe(text, v.maxLength(80)),
  tags: opt(Tags),
  properties: opt(
    v.strictObject({
      primary: opt(flag),
      deleteOption: opt(DeleteOption),
      enableAcceleratedNetworking: opt(flag),
      enableIPForwarding: opt(flag),
      networkSecurityGroup: opt(SubResource),
      ipConfigurations: v.array(IpConfiguration),
    }),
  ),
});

/** NetworkProfile and NetworkInterfaceReference. */
const NetworkProfile = v.strictObject({
  networkInterfaces: opt(
    v.array(
      v.strictObject({
        id: opt(text),
        properties: opt(v.strictObject({ primary: opt(flag), deleteOption: opt(DeleteOption) })),
      }),
    ),
  ),
  networkApiVersion: opt(v.picklist(["2020-11-01", "2022-11-01"])),
  networkInterfaceConfigurations: opt(v.array(NicConfiguration)),
});

/** SecurityProfile and UefiSettings. */
const SecurityProfile = v.strictObject({
  uefiSettings: opt(v.strictObject({ secureBootEnabled: opt(flag), vTpmEnabled: opt(flag) })),
  encryptionAtHost: opt(flag),
  securityType: opt(v.picklist(["Standard", "TrustedLaunch", "ConfidentialVM"])),
});

/** DiagnosticsProfile and BootDiagnostics. */
const DiagnosticsProfile = v.strictObject({
  bootDiagnostics: opt(v.strictObject({ enabled: opt(flag), storageUri: opt(text) })),
});

/** userData: "must be base-64 encoded"; the limit is of the service, 64 KiB of base64. */
const UserData = v.pipe(text, v.maxLength(65_536), v.base64());

/** VirtualMachineProperties, as far as a client may send them. */
const VmProperties = v.strictObject({
  hardwareProfile: opt(HardwareProfile),
  storageProfile: opt(StorageProfile),
  osProfile: opt(OsProfile),
  networkProfile: opt(NetworkProfile),
  securityProfile: opt(SecurityProfile),
  diagnosticsProfile: opt(DiagnosticsProfile),
  userData: opt(UserData),
  priority: opt(v.picklist(["Regular", "Low", "Spot"])),
  evictionPolicy: opt(v.picklist(["Deallocate", "Delete"])),
  licenseType: opt(text),
  extensionsTimeBudget: opt(text),
});

/** VirtualMachine: the body of VirtualMachines_CreateOrUpdate. */
export const VirtualMachineBody: Reads<VirtualMachineBody> = v.strictObject({
  location: v.pipe(text, v.minLength(1)),
  tags: opt(Tags),
  zones: opt(v.pipe(v.array(text), v.maxLength(1))),
  identity: opt(v.unknown()),
  plan: opt(
    v.strictObject({ name: opt(text), publisher: opt(text), product: opt(text), promotionCode: opt(text) }),
  ),
  properties: opt(VmProperties),
});

/** VirtualMachineUpdate: the body of VirtualMachines_Update. */
export const VirtualMachineUpdateBody: Reads<VirtualMachineUpdateBody> = v.strictObject({
  tags: opt(Tags),
  zones: opt(v.array(text)),
  properties: opt(VmProperties),
});

/** The api-versions that the fake knows, by the lower-cased type; a client that speaks another is refused as ARM refuses it. */
export const API_VERSIONS: Readonly<Record<string, readonly string[]>> = {
  // Microsoft.Compute/Compute/stable/2026-04-01/ComputeRP.json
  "microsoft.compute/virtualmachines": ["2026-04-01"],
  "microsoft.compute/images": ["2026-04-01"],
  "microsoft.compute/locations": ["2026-04-01", "2025-12-03"],
  // Microsoft.Compute/Compute/stable/2026-03-02/DiskRP.json
  "microsoft.compute/disks": ["2026-03-02"],
  // Microsoft.Compute/Compute/stable/2025-12-03/GalleryRP.json
  "microsoft.compute/galleries": ["2025-12-03"],
  // Microsoft.Compute/Compute/stable/2021-07-01/skus.json
  "microsoft.compute/skus": ["2021-07-01"],
  // specification/network/resource-manager/Microsoft.Network/stable/2026-01-01/{virtualNetwork,networkInterface,publicIpAddress}.json
  "microsoft.network/virtualnetworks": ["2026-01-01"],
  "microsoft.network/networkinterfaces": ["2026-01-01"],
  "microsoft.network/publicipaddresses": ["2026-01-01"],
  "microsoft.network/locations": ["2026-01-01"],
};

/** What is wrong with a body, in the words of ARM's deserializer; undefined when it fits. */
export function bodyProblem(issue: v.BaseIssue<unknown>): {
  readonly code: string;
  readonly message: string;
} {
  const path = (issue.path ?? []).map((item) => String(item.key)).join(".");
  const unknownMember = issue.type === "strict_object" && issue.expected === "never";
  return unknownMember
    ? {
        code: "InvalidRequestContent",
        message: `The request content was invalid and could not be deserialized: 'Could not find member '${String(issue.path?.at(-1)?.key)}' on object. Path '${path}'.'.`,
      }
    : {
        code: "InvalidParameter",
        message: `The value of parameter ${path || "body"} is invalid: ${issue.message}.`,
      };
}
