import type { OptionSpec } from "../contract.ts";
import { IBMCLOUD_PROFILE_OPTIONS } from "./profile-options.ts";

function matching(pattern: RegExp, form: string): (value: string) => string | undefined {
  return (value) => (value === "" || pattern.test(value) ? undefined : form);
}

const url = matching(/^https:\/\/\S+$/, "give an https URL");
/** An API key or token may come with a line's end from a Secret; an id never has a space in it. */
const word = matching(/^\S+$/, "give an id, without spaces");

/** Characters that IBM takes in user tags, as the tagging documentation lists them. */
function tagRule(value: string): string | undefined {
  for (const tag of value.split(",").map((item) => item.trim())) {
    if (tag.length > 128) return `tag ${tag.slice(0, 40)}... is longer than 128 characters`;
    if (!/^[A-Za-z0-9_\-. :]*$/.test(tag)) {
      return `tag ${tag} has a character that IBM does not take: use letters, digits, spaces and _ - . :`;
    }
  }
  return undefined;
}

const CREDENTIALS: readonly OptionSpec[] = [
  {
    flag: "api-key",
    env: "IBMCLOUD_API_KEY",
    kind: "string",
    secret: true,
    help: "IAM API key; this, iam-profile-id or use-instance-identity is needed",
  },
  {
    flag: "iam-profile-id",
    env: "IBMCLOUD_IAM_PROFILE_ID",
    kind: "string",
    help: "trusted profile to sign in as, with the projected service account token",
    validate: word,
  },
  {
    flag: "cr-token-filename",
    kind: "string",
    default: "/var/run/secrets/tokens/vault-token",
    help: "service account token of audience iam, for iam-profile-id",
  },
  {
    flag: "use-instance-identity",
    env: "IBMCLOUD_USE_INSTANCE_IDENTITY",
    kind: "bool",
    default: "false",
    help: "sign in as the VPC instance that this runs on, with iam-profile-id or the instance's default profile",
  },
  {
    flag: "iam-service-url",
    env: "IBMCLOUD_IAM_ENDPOINT",
    kind: "string",
    default: "https://iam.cloud.ibm.com/identity/token",
    help: "IAM endpoint",
    validate: url,
  },
  {
    flag: "vpc-service-url",
    env: "IBMCLOUD_VPC_ENDPOINT",
    kind: "string",
    help: "VPC endpoint, for example https://eu-de.iaas.cloud.ibm.com/v1; unset: that of the zone's region",
    validate: url,
  },
  {
    flag: "tagging-service-url",
    env: "IBMCLOUD_TAGGING_ENDPOINT",
    kind: "string",
    default: "https://tags.global-search-tagging.cloud.ibm.com",
    help: "Global Tagging endpoint",
    validate: url,
  },
  {
    flag: "containers-service-url",
    env: "IBMCLOUD_CONTAINERS_ENDPOINT",
    kind: "string",
    default: "https://containers.cloud.ibm.com/global",
    help: "Kubernetes Service endpoint, asked about the cluster's VPC, subnet and security group",
    validate: url,
  },
];

const PLACE: readonly OptionSpec[] = [
  {
    flag: "cluster-id",
    env: "IBMCLOUD_CLUSTER_ID",
    kind: "string",
    help: "id of the IKS or ROKS cluster: VPC, subnet, zone and security group are those of its worker unless set",
    validate: word,
  },
  {
    flag: "resource-group-id",
    env: "IBMCLOUD_RESOURCE_GROUP_ID",
    kind: "string",
    help: "resource group of the pod VMs; unset: that of the cluster's subnet, else the account's default",
    validate: word,
  },
  {
    flag: "zone-name",
    env: "IBMCLOUD_ZONE",
    kind: "string",
    help: "zone of the pod VMs, for example eu-de-2; unset: that of the cluster's worker",
    validate: matching(/^[a-z]+(-[a-z]+)+-\d+$/, "give a zone's name, for example eu-de-2"),
  },
  {
    flag: "vpc-id",
    env: "IBMCLOUD_VPC_ID",
    kind: "string",
    help: "VPC of the pod VMs; unset: the cluster's",
    validate: word,
  },
  {
    flag: "primary-subnet-id",
    env: "IBMCLOUD_VPC_SUBNET_ID",
    kind: "string",
    help: "subnet of the pod VMs; unset: that of the cluster's worker",
    validate: word,
  },
  {
    flag: "fallback-subnet-ids",
    env: "IBMCLOUD_FALLBACK_SUBNET_IDS",
    kind: "list",
    live: true,
    help: "subnets of the VPC in other zones, tried in this order when the first zone has no room",
  },
  {
    flag: "secondary-subnet-id",
    kind: "string",
    help: "subnet of a second network interface, with IP spoofing allowed; unset: no such interface",
    validate: word,
  },
  {
    flag: "secondary-security-group-id",
    kind: "string",
    help: "security group of the second network interface; unset: the VPC's default",
    validate: word,
  },
  {
    flag: "security-group-ids",
    env: "IBMCLOUD_SECURITY_GROUP_IDS",
    kind: "list",
    live: true,
    help: "security groups of the pod VMs, at most 5 with the cluster's own, which is added",
  },
  {
    flag: "dedicated-host-ids",
    env: "IBMCLOUD_DEDICATED_HOST_IDS",
    kind: "list",
    live: true,
    help: "dedicated hosts, one per zone: the one in the VM's zone is used",
  },
  {
    flag: "dedicated-host-group-ids",
    env: "IBMCLOUD_DEDICATED_HOST_GROUP_IDS",
    kind: "list",
    live: true,
    help: "dedicated host groups, one per zone: used when the host takes no more",
  },
];

const MACHINE: readonly OptionSpec[] = [
  ...IBMCLOUD_PROFILE_OPTIONS,
  {
    flag: "image-id",
    env: "IBMCLOUD_PODVM_IMAGE_ID",
    kind: "list",
    required: true,
    live: true,
    help: "pod VM images in order of preference: the first that fits the profile's architecture is used",
  },
  {
    flag: "secure-execution-image-ids",
    env: "IBMCLOUD_SE_IMAGE_IDS",
    kind: "list",
    live: true,
    help: "those of the images that are made for Secure Execution (s390x): only they are started on bz2e, cz2e and mz2e profiles, and nowhere else",
  },
  {
    flag: "key-id",
    env: "IBMCLOUD_SSH_KEY_ID",
    kind: "string",
    live: true,
    help: "SSH key of the VPC for the VM's user; unset: none",
    validate: word,
  },
  {
    flag: "disable-cvm",
    env: "DISABLECVM",
    kind: "bool",
    default: "true",
    live: true,
    help: "false: confidential VMs, by Intel TDX with secure boot, or Secure Execution on s390x",
  },
  {
    flag: "tags",
    env: "TAGS",
    kind: "list",
    live: true,
    help: "user tags for the VM and its boot volume: tag,key:value,...",
    validate: tagRule,
  },
  {
    flag: "create-timeout",
    env: "IBMCLOUD_CREATE_TIMEOUT",
    kind: "duration",
    default: "10m",
    live: true,
    help: "how long IBM may take to start a VM before it is given up (TDX: three to four minutes are usual)",
  },
];

/** Every setting of the provider: the Go adaptor's flags and variables, and a few of our own. */
export const IBMCLOUD_OPTIONS: readonly OptionSpec[] = [...CREDENTIALS, ...PLACE, ...MACHINE];
