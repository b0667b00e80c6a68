import { invalidConfig } from "../../src/errors/index.ts";
import type { OptionReader } from "../contract.ts";
import { type ArmConnection, type AzureIdentity, parseArmId, sameArm } from "./arm/index.ts";

/** The provider's settings, validated. */
export interface AzureConfig extends ArmConnection {
  readonly region: string;
  readonly resourceGroup: string;
  /** In order of preference; empty: no zone is asked for. */
  readonly zones: readonly string[];
  readonly subnetId: string;
  readonly securityGroupId: string;
  readonly publicIp: boolean;
  readonly defaultSize: string;
  readonly allowedSizes: readonly string[];
  /** Of the allowed sizes those that are never confidential VMs, and only for pods that name them. */
  readonly ordinarySizes: readonly string[];
  readonly imageId: string;
  readonly sshKeyPath: string;
  readonly sshUser: string;
  readonly confidential: boolean;
  readonly secureBoot: boolean;
  /** 0: the image's size. */
  readonly rootVolumeGB: number;
  readonly tags: Readonly<Record<string, string>>;
  readonly createTimeoutMs: number;
}

const CREATE_TIMEOUT_MS = 600_000;

/** Reads and cross-checks the options. Throws `invalid-config`, naming the variable. */
export function readConfig(options: OptionReader): AzureConfig {
  const config: AzureConfig = {
    identity: readIdentity(options),
    authorityHost: options.string("authority-host"),
    endpoint: options.string("resource-manager-endpoint").replace(/\/$/, ""),
    subscriptionId: options.string("subscriptionid"),
    region: options.string("region"),
    resourceGroup: options.string("resourcegroup"),
    zones: options.list("zone"),
    subnetId: options.string("subnetid"),
    securityGroupId: options.string("securitygroupid"),
    publicIp: options.bool("use-public-ip"),
    defaultSize: options.string("instance-size"),
    allowedSizes: options.list("instance-sizes"),
    ordinarySizes: options.list("ordinary-instance-sizes"),
    imageId: options.string("imageid"),
    sshKeyPath: options.string("ssh-key-path"),
    sshUser: options.string("ssh-username"),
    confidential: !options.bool("disable-cvm"),
    secureBoot: options.bool("enable-secure-boot"),
    rootVolumeGB: options.int("root-volume-size") ?? 0,
    tags: options.tags("tags"),
    createTimeoutMs: options.durationMs("create-timeout") ?? CREATE_TIMEOUT_MS,
  };
  crossCheck(config);
  return config;
}

/** What must hold between settings, and what must not be empty even when a caller did not enforce it. */
function crossCheck(config: AzureConfig): void {
  const needed: readonly (readonly [string, string])[] = [
    ["AZURE_SUBSCRIPTION_ID", config.subscriptionId],
    ["AZURE_REGION", config.region],
    ["AZURE_RESOURCE_GROUP", config.resourceGroup],
    ["AZURE_SUBNET_ID", config.subnetId],
    ["AZURE_IMAGE_ID", config.imageId],
    ["AZURE_INSTANCE_SIZE", config.defaultSize],
  ];
  for (const [key, value] of needed) if (value === "") throw invalidConfig(`${key} is not set`);
  const subnet = parseArmId(config.subnetId);
  if (subnet && !sameArm(subnet.subscriptionId, config.subscriptionId)) {
    throw invalidConfig(
      `AZURE_SUBNET_ID is in subscription ${subnet.subscriptionId} and AZURE_SUBSCRIPTION_ID is another: a VM and its subnet must share one`,
    );
  }
  const stranger = config.ordinarySizes.find((size) => !config.allowedSizes.includes(size));
  if (stranger !== undefined) {
    throw invalidConfig(
      `AZURE_ORDINARY_INSTANCE_SIZES names ${stranger}, which AZURE_INSTANCE_SIZES does not allow: add it there`,
    );
  }
}

function readIdentity(options: OptionReader): AzureIdentity {
  const clientId = options.secret("clientid")?.reveal() ?? "";
  const tenantId = options.secret("tenantid")?.reveal() ?? "";
  if (options.bool("use-managed-identity")) return { kind: "managed", clientId };
  if (clientId === "")
    throw invalidConfig("AZURE_CLIENT_ID is not set: give the application id that signs in to Azure");
  if (tenantId === "") throw invalidConfig("AZURE_TENANT_ID is not set: give the tenant's id");
  const clientSecret = options.secret("secret");
  if (clientSecret) return { kind: "secret", tenantId, clientId, clientSecret };
  const tokenFile = options.string("federated-token-file");
  if (tokenFile !== "") return { kind: "workload", tenantId, clientId, tokenFile };
  throw invalidConfig(
    "neither AZURE_CLIENT_SECRET nor AZURE_FEDERATED_TOKEN_FILE is set: give a client secret, or label the service account for workload identity, or set AZURE_USE_MANAGED_IDENTITY=true",
  );
}
