import type { OptionSpec } from "../contract.ts";
import { parseArmId } from "./arm/index.ts";
import { imageProblem } from "./image.ts";
import { AZURE_SIZE_OPTIONS } from "./size-options.ts";

/** A validator: the text must be the full id of a resource of this type, and child type if one is given. */
function armId(type: string, child?: string): (value: string) => string | undefined {
  return (value) => {
    if (value === "") return undefined;
    const id = parseArmId(value);
    const childType = id?.children[0]?.[0].toLowerCase();
    if (id?.type.toLowerCase() === type.toLowerCase() && childType === child?.toLowerCase()) return undefined;
    const tail = child ? `/<name>/${child}/<name>` : "/<name>";
    return `give the full id: /subscriptions/<id>/resourceGroups/<group>/providers/${type}${tail}`;
  };
}

function matching(pattern: RegExp, form: string): (value: string) => string | undefined {
  return (value) => (value === "" || pattern.test(value) ? undefined : form);
}

const uuid = matching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, "give the id as a UUID");
const url = matching(/^https:\/\/[^\s/]+\/?$/, "give an https URL without a path");
/** Azure's rule for a tag: https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources */
function tagRule(text: string): string | undefined {
  const pairs = text.split(",").filter((pair) => pair.trim() !== "");
  if (pairs.length > 40) return "give at most 40 tags (Azure allows 50, and we add our own)";
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    const key = pair.slice(0, at).trim();
    if (at < 1 || key === "") return "give key=value pairs, separated by commas";
    if (key.length > 512 || /[<>%&\\?/]/.test(key)) return `tag key ${key} is not one that Azure takes`;
    if (pair.slice(at + 1).trim().length > 256)
      return `the value of tag ${key} is longer than 256 characters`;
  }
  return undefined;
}

const CREDENTIALS: readonly OptionSpec[] = [
  {
    flag: "clientid",
    env: "AZURE_CLIENT_ID",
    kind: "string",
    secret: true,
    help: "Entra application (client) id; with a managed identity: the id of the user-assigned one",
    validate: uuid,
  },
  {
    flag: "secret",
    env: "AZURE_CLIENT_SECRET",
    kind: "string",
    secret: true,
    help: "client secret; unset: workload identity",
  },
  {
    flag: "tenantid",
    env: "AZURE_TENANT_ID",
    kind: "string",
    secret: true,
    help: "Entra tenant id",
    validate: uuid,
  },
  {
    flag: "federated-token-file",
    env: "AZURE_FEDERATED_TOKEN_FILE",
    kind: "string",
    help: "service account token for workload identity, projected by the AKS webhook",
  },
  {
    flag: "use-managed-identity",
    env: "AZURE_USE_MANAGED_IDENTITY",
    kind: "bool",
    default: "false",
    help: "sign in as the node's managed identity instead",
  },
  {
    flag: "authority-host",
    env: "AZURE_AUTHORITY_HOST",
    kind: "string",
    default: "https://login.microsoftonline.com",
    help: "Entra endpoint, for sovereign clouds",
    validate: url,
  },
  {
    flag: "resource-manager-endpoint",
    env: "AZURE_RESOURCE_MANAGER_ENDPOINT",
    kind: "string",
    default: "https://management.azure.com",
    help: "Azure Resource Manager endpoint, for sovereign clouds",
    validate: url,
  },
];

const PLACE: readonly OptionSpec[] = [
  {
    flag: "subscriptionid",
    env: "AZURE_SUBSCRIPTION_ID",
    kind: "string",
    required: true,
    help: "subscription of the pod VMs",
    validate: uuid,
  },
  {
    flag: "region",
    env: "AZURE_REGION",
    kind: "string",
    required: true,
    help: "region of the pod VMs, for example eastus",
    validate: matching(/^[A-Za-z0-9 ]+$/, "give a region's name, for example eastus"),
  },
  {
    flag: "resourcegroup",
    env: "AZURE_RESOURCE_GROUP",
    kind: "string",
    required: true,
    help: "resource group of the pod VMs and all that is made with them",
    validate: matching(
      /^[-\w.()]{0,89}[-\w()]$/,
      "give a resource group's name (letters, digits, - _ . ( ), at most 90)",
    ),
  },
  {
    flag: "zone",
    env: "AZURE_ZONE",
    kind: "list",
    live: true,
    help: "availability zones in order of preference (1, 2, 3); unset: the region places the VM",
    validate: matching(/^\s*\d+\s*(,\s*\d+\s*)*$/, "give zone numbers, separated by commas"),
  },
  {
    flag: "subnetid",
    env: "AZURE_SUBNET_ID",
    kind: "string",
    required: true,
    live: true,
    help: "full ARM id of the pod VMs' subnet",
    validate: armId("Microsoft.Network/virtualNetworks", "subnets"),
  },
  {
    flag: "securitygroupid",
    env: "AZURE_NSG_ID",
    kind: "string",
    live: true,
    help: "full ARM id of a network security group for the pod VMs",
    validate: armId("Microsoft.Network/networkSecurityGroups"),
  },
  {
    flag: "use-public-ip",
    env: "USE_PUBLIC_IP",
    kind: "bool",
    default: "false",
    help: "give each pod VM a public address, and dial that one",
  },
];

const MACHINE: readonly OptionSpec[] = [
  ...AZURE_SIZE_OPTIONS,
  {
    flag: "ordinary-instance-sizes",
    env: "AZURE_ORDINARY_INSTANCE_SIZES",
    kind: "list",
    live: true,
    help: "sizes of instance-sizes that are started as ordinary, not confidential, VMs when a pod names them as its machine type",
  },
  {
    flag: "imageid",
    env: "AZURE_IMAGE_ID",
    kind: "string",
    required: true,
    live: true,
    help: "pod VM image: ARM id, /CommunityGalleries/..., /SharedGalleries/... or publisher:offer:sku:version",
    validate: (value) => (value === "" ? undefined : imageProblem(value)),
  },
  {
    flag: "ssh-key-path",
    kind: "string",
    help: "public key file (mode 0600) for the VM's user; unset: a key nobody has",
  },
  {
    flag: "ssh-username",
    env: "SSH_USERNAME",
    kind: "string",
    default: "peerpod",
    live: true,
    help: "the VM's user",
    validate: matching(/^[a-z_][a-z0-9_-]{0,31}$/, "give a Linux user's name"),
  },
  {
    flag: "disable-cvm",
    env: "DISABLECVM",
    kind: "bool",
    default: "false",
    live: true,
    help: "make ordinary VMs, not confidential ones",
  },
  {
    flag: "enable-secure-boot",
    env: "ENABLE_SECURE_BOOT",
    kind: "bool",
    default: "false",
    live: true,
    help: "secure boot of confidential VMs",
  },
  {
    flag: "root-volume-size",
    env: "ROOT_VOLUME_SIZE",
    kind: "int",
    default: "0",
    live: true,
    help: "OS disk in GB; 0: the image's size",
    validate: (value) => (Number.parseInt(value, 10) >= 0 ? undefined : "give 0 or more GB"),
  },
  {
    flag: "tags",
    env: "TAGS",
    kind: "tags",
    live: true,
    help: "tags for the VM and all that is made with it: key=value,...",
    validate: tagRule,
  },
  {
    flag: "create-timeout",
    env: "AZURE_CREATE_TIMEOUT",
    kind: "duration",
    default: "10m",
    live: true,
    help: "how long Azure may take to start a VM before it is given up",
  },
];

/** Every setting of the provider: the Go adaptor's flags and variables, and a few of our own. */
export const AZURE_OPTIONS: readonly OptionSpec[] = [...CREDENTIALS, ...PLACE, ...MACHINE];
