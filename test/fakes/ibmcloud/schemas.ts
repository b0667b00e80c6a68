import * as v from "valibot";

/*
 * What the fake takes. Objects are strict: unknown members are refused, as the definitions' additionalProperties say.
 *
 * VPC: the published API definition, version 2026-07-21, as vpc-go-sdk 0.88.0 is generated from it; the name of the
 * definition stands above each schema. Members that the definition has and nobody here sends are taken as they are.
 */

type Optional<S extends v.GenericSchema> = v.ExactOptionalSchema<S, undefined>;
const opt = <S extends v.GenericSchema>(schema: S): Optional<S> => v.exactOptional(schema);
type Reads<T> = v.GenericSchema<unknown, T>;
const flag = v.boolean();
const anything = opt(v.unknown());

/** Identity models of the API: ids have 1 to 64 characters, and "" is none of the alternatives. */
interface ById {
  readonly id: string;
}
const byId: Reads<ById> = v.strictObject({ id: v.pipe(v.string(), v.regex(/^[-0-9a-z_]{1,64}$/i)) });
interface ByName {
  readonly name: string;
}
const byName: Reads<ByName> = v.strictObject({ name: v.pipe(v.string(), v.minLength(1)) });

/** Pattern of resource names in the API definition; at most 63 characters. */
const resourceName = v.pipe(
  v.string(),
  v.maxLength(63),
  v.regex(/^([a-z]|[a-z][-a-z0-9]*[a-z0-9])$/, "is not a name"),
);

/** User tags: at most 128 characters of these (Global Tagging documentation, "Tagging rules"). */
const userTag = v.pipe(
  v.string(),
  v.minLength(1),
  v.maxLength(128),
  v.regex(/^[A-Za-z0-9_\-. :]+$/, "is not a tag"),
);

/** VirtualNetworkInterfacePrototypeInstanceNetworkAttachmentContext */
export interface VniBody {
  readonly name?: string;
  readonly auto_delete?: boolean;
  readonly allow_ip_spoofing?: boolean;
  readonly subnet?: ById;
  readonly security_groups?: readonly ById[];
}
/** InstanceNetworkAttachmentPrototype */
export interface AttachmentBody {
  readonly name?: string;
  readonly virtual_network_interface: VniBody;
}
const attachment: Reads<AttachmentBody> = v.strictObject({
  name: opt(resourceName),
  virtual_network_interface: v.strictObject({
    allow_ip_spoofing: opt(flag),
    auto_delete: opt(flag),
    enable_infrastructure_nat: opt(flag),
    ips: anything,
    name: opt(resourceName),
    primary_ip: anything,
    protocol_state_filtering_mode: opt(v.picklist(["auto", "enabled", "disabled"])),
    resource_group: opt(byId),
    security_groups: opt(v.pipe(v.array(byId), v.minLength(1), v.maxLength(5))),
    subnet: opt(byId),
  }),
});

/** InstancePrototypeInstanceByImageInstanceByImageInstanceByNetworkAttachment */
export interface InstanceBody {
  readonly name?: string;
  readonly image: ById;
  readonly zone: ByName;
  readonly profile?: ByName;
  readonly vpc?: ById;
  readonly user_data?: string;
  readonly keys?: readonly ById[];
  readonly resource_group?: ById;
  readonly confidential_compute_mode?: "disabled" | "sgx" | "tdx";
  readonly enable_secure_boot?: boolean;
  readonly placement_target?: ById;
  readonly primary_network_attachment: AttachmentBody;
  readonly network_attachments?: readonly AttachmentBody[];
  readonly boot_volume_attachment?: {
    readonly delete_volume_on_instance_delete?: boolean;
    readonly volume: { readonly name?: string; readonly user_tags?: readonly string[] };
  };
  readonly volume_attachments?: readonly {
    readonly delete_volume_on_instance_delete?: boolean;
    readonly volume: ById;
  }[];
}
export const InstanceBody: Reads<InstanceBody> = v.strictObject({
  availability: anything,
  availability_policy: anything,
  cluster_network_attachments: anything,
  confidential_compute_mode: opt(v.picklist(["disabled", "sgx", "tdx"])),
  default_trusted_profile: anything,
  enable_secure_boot: opt(flag),
  keys: opt(v.array(byId)),
  // InstanceMetadataServicePrototype
  metadata_service: opt(
    v.strictObject({
      enabled: opt(flag),
      protocol: opt(v.picklist(["http", "https"])),
      response_hop_limit: opt(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(64))),
    }),
  ),
  name: opt(resourceName),
  placement_target: opt(byId),
  profile: opt(byName),
  reservation_affinity: anything,
  resource_group: opt(byId),
  threads_per_core: opt(v.number()),
  total_volume_bandwidth: opt(v.number()),
  // The limit is the documentation's: 64 KB.
  user_data: opt(
    v.pipe(
      v.string(),
      v.check((text) => Buffer.byteLength(text) <= 65_536, "is too long"),
    ),
  ),
  vcpu: anything,
  // VolumeAttachmentPrototype, by VolumeIdentityByID
  volume_attachments: opt(
    v.array(
      v.strictObject({ delete_volume_on_instance_delete: opt(flag), name: opt(resourceName), volume: byId }),
    ),
  ),
  volume_bandwidth_qos_mode: anything,
  vpc: opt(byId),
  // VolumeAttachmentPrototypeInstanceByImageContext, VolumePrototypeInstanceByImageContext
  boot_volume_attachment: opt(
    v.strictObject({
      delete_volume_on_instance_delete: opt(flag),
      name: opt(resourceName),
      volume: v.strictObject({
        allowed_use: anything,
        bandwidth: anything,
        capacity: anything,
        encryption_key: anything,
        iops: anything,
        name: opt(resourceName),
        profile: byName,
        resource_group: opt(byId),
        user_tags: opt(v.array(userTag)),
      }),
    }),
  ),
  image: byId,
  zone: byName,
  network_attachments: opt(v.array(attachment)),
  primary_network_attachment: attachment,
});

/** Global Tagging v3 (platform-services-go-sdk, globaltaggingv1, June 2026): the body of attachTag. */
export interface AttachTagBody {
  readonly tag_names?: readonly string[];
  readonly resources?: readonly { readonly resource_id: string }[];
}
export const AttachTagBody: Reads<AttachTagBody> = v.strictObject({
  tag_name: opt(userTag),
  tag_names: opt(v.pipe(v.array(userTag), v.maxLength(100))),
  resources: opt(
    v.pipe(
      v.array(
        v.strictObject({ resource_id: v.pipe(v.string(), v.regex(/^crn:v1:/)), resource_type: anything }),
      ),
      v.maxLength(100),
    ),
  ),
  query: anything,
});

/** Query parameters of each list, besides `version` and `generation`: those of the same definitions, as far as anyone uses them. */
export const LIST_QUERIES: Readonly<Record<string, readonly string[]>> = {
  instances: [
    "start",
    "limit",
    "resource_group.id",
    "name",
    "vpc.id",
    "vpc.crn",
    "vpc.name",
    "dedicated_host.id",
  ],
  volumes: [
    "start",
    "limit",
    "attachment_state",
    "encryption",
    "name",
    "storage_generation",
    "tag",
    "zone.name",
  ],
  virtual_network_interfaces: ["start", "limit", "resource_group.id"],
};

/** What is wrong with a body, in VPC's words (`validation_failed_oneof` for an identity that is none: a real report). */
export function bodyProblem(issue: v.BaseIssue<unknown>): {
  readonly code: string;
  readonly message: string;
} {
  const path = (issue.path ?? []).map((item) => String(item.key)).join(".");
  if (/(^|\.)(id)$/.test(path)) {
    return { code: "validation_failed_oneof", message: "Expected only one oneOf fields to be set: got 0" };
  }
  const unknown = issue.type === "strict_object" && issue.expected === "never";
  return unknown
    ? { code: "invalid_field", message: `The field \`${path}\` is not recognized.` }
    : { code: "validation_failed", message: `Field \`${path}\` failed validation: ${issue.message}` };
}
