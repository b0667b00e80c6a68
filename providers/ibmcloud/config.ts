import { invalidConfig } from "../../src/errors/index.ts";
import type { OptionReader } from "../contract.ts";
import { type IbmIdentity, isLinuxOne, vpcEndpoint } from "./api/index.ts";

/** The provider's settings, validated. "" and empty lists: not set. */
export interface IbmConfig {
  readonly identity: IbmIdentity;
  /** Without a slash at the end; "": the endpoint of the zone's region. */
  readonly vpcUrl: string;
  readonly taggingUrl: string;
  readonly containersUrl: string;
  readonly clusterId: string;
  readonly resourceGroupId: string;
  readonly zone: string;
  readonly vpcId: string;
  readonly subnetId: string;
  readonly fallbackSubnetIds: readonly string[];
  readonly secondarySubnetId: string;
  readonly secondarySecurityGroupId: string;
  readonly securityGroupIds: readonly string[];
  readonly hostIds: readonly string[];
  readonly hostGroupIds: readonly string[];
  readonly defaultProfile: string;
  readonly allowedProfiles: readonly string[];
  readonly imageIds: readonly string[];
  readonly seImageIds: readonly string[];
  readonly keyId: string;
  readonly confidential: boolean;
  readonly tags: readonly string[];
  readonly createTimeoutMs: number;
}

const CREATE_TIMEOUT_MS = 600_000;
/** VPC's limit of security groups for one interface. */
export const MAX_SECURITY_GROUPS = 5;

/** Reads and cross-checks the options. Throws `invalid-config`, naming the variable. */
export function readConfig(options: OptionReader): IbmConfig {
  const allowedProfiles = options.list("profile-list");
  const base = (flag: string): string => options.string(flag).replace(/\/+$/, "");
  const config: IbmConfig = {
    identity: readIdentity(options),
    vpcUrl: base("vpc-service-url"),
    taggingUrl: base("tagging-service-url"),
    containersUrl: base("containers-service-url"),
    clusterId: options.string("cluster-id"),
    resourceGroupId: options.string("resource-group-id"),
    zone: options.string("zone-name"),
    vpcId: options.string("vpc-id"),
    subnetId: options.string("primary-subnet-id"),
    fallbackSubnetIds: options.list("fallback-subnet-ids"),
    secondarySubnetId: options.string("secondary-subnet-id"),
    secondarySecurityGroupId: options.string("secondary-security-group-id"),
    securityGroupIds: options.list("security-group-ids"),
    hostIds: options.list("dedicated-host-ids"),
    hostGroupIds: options.list("dedicated-host-group-ids"),
    defaultProfile: options.string("profile-name") || (allowedProfiles[0] ?? ""),
    allowedProfiles,
    imageIds: options.list("image-id"),
    seImageIds: options.list("secure-execution-image-ids"),
    keyId: options.string("key-id"),
    confidential: !options.bool("disable-cvm"),
    tags: options.list("tags"),
    createTimeoutMs: options.durationMs("create-timeout") ?? CREATE_TIMEOUT_MS,
  };
  crossCheck(config);
  return config;
}

/** The cluster to ask about: the configured one, else ours when its id has the form that IKS gives (20 letters and digits). */
export function clusterOf(config: IbmConfig, ownerClusterId: string): string {
  return config.clusterId || (/^[a-z0-9]{20}$/.test(ownerClusterId) ? ownerClusterId : "");
}

/** Where the VMs go must be told, or there must be a cluster to ask. Throws `invalid-config`. */
export function checkPlace(config: IbmConfig, ownerClusterId: string): void {
  if (clusterOf(config, ownerClusterId) !== "") return;
  const needed: readonly (readonly [string, string])[] = [
    ["IBMCLOUD_ZONE", config.zone],
    ["IBMCLOUD_VPC_ID", config.vpcId],
    ["IBMCLOUD_VPC_SUBNET_ID", config.subnetId],
  ];
  for (const [key, value] of needed) {
    if (value === "")
      throw invalidConfig(`${key} is not set: set it, or IBMCLOUD_CLUSTER_ID to take it from the cluster`);
  }
}

function crossCheck(config: IbmConfig): void {
  if (config.imageIds.length === 0)
    throw invalidConfig("IBMCLOUD_PODVM_IMAGE_ID is not set: give an image's id");
  if (config.defaultProfile === "") {
    throw invalidConfig(
      "IBMCLOUD_PODVM_INSTANCE_PROFILE_NAME is not set: give an instance profile, for example bx2-2x8",
    );
  }
  if (config.zone !== "" && config.vpcUrl === "") vpcEndpoint(config.zone);
  const strange = config.seImageIds.find((id) => !config.imageIds.includes(id));
  if (strange !== undefined) {
    throw invalidConfig(
      `IBMCLOUD_SE_IMAGE_IDS names ${strange}, which is not in IBMCLOUD_PODVM_IMAGE_ID: add it there`,
    );
  }
  if (config.securityGroupIds.length > MAX_SECURITY_GROUPS) {
    throw invalidConfig(
      `IBMCLOUD_SECURITY_GROUP_IDS has ${config.securityGroupIds.length} groups: an interface takes ${MAX_SECURITY_GROUPS}, the cluster's own included`,
    );
  }
  if (config.secondarySubnetId !== "" && config.fallbackSubnetIds.length > 0) {
    throw invalidConfig(
      "secondary-subnet-id and IBMCLOUD_FALLBACK_SUBNET_IDS exclude each other: both interfaces of a VM must be in one zone",
    );
  }
  const dedicated = config.hostIds.length + config.hostGroupIds.length > 0;
  if (dedicated && config.confidential && !isLinuxOne(config.defaultProfile)) {
    throw invalidConfig(
      "dedicated hosts take no TDX profiles: unset IBMCLOUD_DEDICATED_HOST_IDS and IBMCLOUD_DEDICATED_HOST_GROUP_IDS, or set DISABLECVM=true",
    );
  }
}

function readIdentity(options: OptionReader): IbmIdentity {
  const iamUrl = options.string("iam-service-url");
  const profileId = options.string("iam-profile-id");
  if (options.bool("use-instance-identity")) return { kind: "instance", profileId };
  const apiKey = options.secret("api-key");
  if (apiKey) return { kind: "api-key", apiKey, iamUrl };
  if (profileId !== "") {
    return { kind: "service-account", profileId, tokenFile: options.string("cr-token-filename"), iamUrl };
  }
  throw invalidConfig(
    "neither IBMCLOUD_API_KEY nor IBMCLOUD_IAM_PROFILE_ID is set: give an API key or a trusted profile's id, or set IBMCLOUD_USE_INSTANCE_IDENTITY=true",
  );
}
