import * as v from "valibot";

/*
 * What is read of IBM's answers, after the published VPC API of 2026-07-21 (vpc-go-sdk 0.88.0 has the same definitions),
 * Global Tagging v3 and the Kubernetes Service v2: the name of the definition stands at each interface. Fields that are not
 * used are let through unread; those that answers may lack are given an empty value.
 */

/** A schema of which only the result's type is told. */
type Reads<T> = v.GenericSchema<unknown, T>;

interface Named {
  readonly name: string;
}
interface WithId {
  readonly id: string;
}
/** PageLink */
export interface Next {
  readonly href: string;
}
/** InstanceStatusReason, InstanceLifecycleReason */
export interface Reason {
  readonly code: string;
  readonly message: string;
}

const text = v.optional(v.string(), "");
const named: Reads<Named> = v.object({ name: v.string() });
const withId: Reads<WithId> = v.object({ id: v.string() });
const next: Reads<Next> = v.object({ href: v.string() });
const reasons = v.optional(v.array(v.object({ code: v.string(), message: text })), []);

/** InstanceNetworkAttachmentReference, NetworkInterfaceInstanceContextReference. The address is "0.0.0.0" until there is one. */
export interface NetworkAttachment {
  readonly id: string;
  readonly primary_ip?: { readonly address: string } | undefined;
}

/** Instance */
export interface Instance {
  readonly id: string;
  readonly crn: string;
  readonly name: string;
  readonly status: string;
  readonly status_reasons: readonly Reason[];
  readonly lifecycle_state: string;
  readonly lifecycle_reasons: readonly Reason[];
  readonly created_at: string;
  readonly vpc?: WithId | undefined;
  readonly zone?: Named | undefined;
  readonly vcpu?: { readonly count: number } | undefined;
  readonly boot_volume_attachment?: { readonly volume?: WithId | undefined } | undefined;
  readonly primary_network_attachment?: NetworkAttachment | undefined;
  readonly network_attachments: readonly NetworkAttachment[];
  readonly primary_network_interface?: NetworkAttachment | undefined;
  readonly network_interfaces: readonly NetworkAttachment[];
}

const attachment: Reads<NetworkAttachment> = v.object({
  id: v.string(),
  primary_ip: v.optional(v.object({ address: text })),
});

export const Instance: Reads<Instance> = v.object({
  id: v.string(),
  crn: text,
  name: v.string(),
  status: v.string(),
  status_reasons: reasons,
  lifecycle_state: text,
  lifecycle_reasons: reasons,
  created_at: text,
  vpc: v.optional(withId),
  zone: v.optional(named),
  vcpu: v.optional(v.object({ count: v.number() })),
  boot_volume_attachment: v.optional(v.object({ volume: v.optional(withId) })),
  primary_network_attachment: v.optional(attachment),
  network_attachments: v.optional(v.array(attachment), []),
  primary_network_interface: v.optional(attachment),
  network_interfaces: v.optional(v.array(attachment), []),
});

/** InstanceCollection */
export interface InstancePage {
  readonly instances: readonly Instance[];
  readonly next?: Next | undefined;
}
export const InstancePage: Reads<InstancePage> = v.object({
  instances: v.array(Instance),
  next: v.optional(next),
});

/** Volume */
export interface Volume {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly created_at: string;
  readonly user_tags: readonly string[];
  readonly zone?: Named | undefined;
  readonly volume_attachments: readonly { readonly instance?: WithId | undefined }[];
}
export const Volume: Reads<Volume> = v.object({
  id: v.string(),
  name: v.string(),
  status: text,
  created_at: text,
  user_tags: v.optional(v.array(v.string()), []),
  zone: v.optional(named),
  volume_attachments: v.optional(v.array(v.object({ instance: v.optional(withId) })), []),
});

/** VolumeCollection */
export interface VolumePage {
  readonly volumes: readonly Volume[];
  readonly next?: Next | undefined;
}
export const VolumePage: Reads<VolumePage> = v.object({ volumes: v.array(Volume), next: v.optional(next) });

/** VirtualNetworkInterface */
export interface Vni {
  readonly id: string;
  readonly name: string;
  readonly lifecycle_state: string;
  readonly target?: { readonly id: string } | undefined;
}
const vni: Reads<Vni> = v.object({
  id: v.string(),
  name: v.string(),
  lifecycle_state: text,
  target: v.optional(v.object({ id: text })),
});

/** VirtualNetworkInterfaceCollection */
export interface VniPage {
  readonly virtual_network_interfaces: readonly Vni[];
  readonly next?: Next | undefined;
}
export const VniPage: Reads<VniPage> = v.object({
  virtual_network_interfaces: v.array(vni),
  next: v.optional(next),
});

/**
 * A number of a profile in all forms that versions before and after 2026-09-01 have: fixed {value}, enum {values, default},
 * range {min, max, step, default}, dependent (nothing).
 */
export interface ProfileNumber {
  readonly type: string;
  readonly value?: number | undefined;
  readonly default?: number | undefined;
}
const profileNumber: Reads<ProfileNumber> = v.object({
  type: text,
  value: v.optional(v.number()),
  default: v.optional(v.number()),
});

/** InstanceProfile. `confidential_compute_modes.values` is missing for s390x (known issue of the API). */
export interface Profile {
  readonly name: string;
  readonly vcpu_architecture?: { readonly value: string } | undefined;
  readonly vcpu_count?: ProfileNumber | undefined;
  readonly memory?: ProfileNumber | undefined;
  readonly gpu_count?: ProfileNumber | undefined;
  readonly confidential_compute_modes?: { readonly values?: readonly string[] | undefined } | undefined;
  readonly secure_boot_modes?: { readonly values?: readonly boolean[] | undefined } | undefined;
  readonly zones?: readonly Named[] | undefined;
}
export const Profile: Reads<Profile> = v.object({
  name: v.string(),
  vcpu_architecture: v.optional(v.object({ value: text })),
  vcpu_count: v.optional(profileNumber),
  memory: v.optional(profileNumber),
  gpu_count: v.optional(profileNumber),
  confidential_compute_modes: v.optional(v.object({ values: v.optional(v.array(v.string())) })),
  secure_boot_modes: v.optional(v.object({ values: v.optional(v.array(v.boolean())) })),
  zones: v.optional(v.array(named)),
});

/** Image, with its OperatingSystem */
export interface Image {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly user_data_format: string;
  readonly operating_system?: { readonly architecture: string; readonly name: string } | undefined;
  readonly zones?: readonly Named[] | undefined;
}
export const Image: Reads<Image> = v.object({
  id: v.string(),
  name: text,
  status: text,
  user_data_format: text,
  operating_system: v.optional(v.object({ architecture: text, name: text })),
  zones: v.optional(v.array(named)),
});

/** Subnet */
export interface Subnet {
  readonly id: string;
  readonly name: string;
  readonly ipv4_cidr_block: string;
  readonly available_ipv4_address_count?: number | undefined;
  readonly vpc?: WithId | undefined;
  readonly zone?: Named | undefined;
  readonly resource_group?: WithId | undefined;
  readonly public_gateway?: object | undefined;
}
export const Subnet: Reads<Subnet> = v.object({
  id: v.string(),
  name: text,
  ipv4_cidr_block: text,
  available_ipv4_address_count: v.optional(v.number()),
  vpc: v.optional(withId),
  zone: v.optional(named),
  resource_group: v.optional(withId),
  public_gateway: v.optional(v.looseObject({})),
});

/** SecurityGroup */
export interface SecurityGroup {
  readonly id: string;
  readonly name: string;
  readonly vpc?: WithId | undefined;
}
export const SecurityGroup: Reads<SecurityGroup> = v.object({
  id: v.string(),
  name: text,
  vpc: v.optional(withId),
});

/** DedicatedHost; DedicatedHostGroup has no state. */
export interface Host {
  readonly id: string;
  readonly zone?: Named | undefined;
  readonly state: string;
  readonly instance_placement_enabled: boolean;
}
export const Host: Reads<Host> = v.object({
  id: v.string(),
  zone: v.optional(named),
  state: v.optional(v.string(), "available"),
  instance_placement_enabled: v.optional(v.boolean(), true),
});

/** Key */
export const Key: Reads<{ readonly id: string; readonly name: string }> = v.object({
  id: v.string(),
  name: text,
});

/** Global Tagging, TagResults */
export interface TagResults {
  readonly results: readonly { readonly is_error: boolean; readonly message: string }[];
}
export const TagResults: Reads<TagResults> = v.object({
  results: v.array(v.object({ is_error: v.optional(v.boolean(), false), message: text })),
});

/** Global Tagging, TagList */
export const TagList: Reads<{ readonly items: readonly Named[] }> = v.object({ items: v.array(named) });

/** Kubernetes Service, getCluster (bluemix-go, containerv2 ClusterInfo) */
export interface Cluster {
  readonly id: string;
  readonly vpcs: readonly string[];
}
export const Cluster: Reads<Cluster> = v.object({
  id: v.string(),
  vpcs: v.optional(v.array(v.string()), []),
});

/** Kubernetes Service, one of getWorkers (bluemix-go, containerv2 Worker); `location` is the zone. */
export interface Worker {
  readonly id: string;
  readonly location: string;
  readonly networkInterfaces: readonly { readonly ipAddress: string; readonly subnetID: string }[];
}
export const Workers: Reads<readonly Worker[]> = v.array(
  v.object({
    id: v.string(),
    location: text,
    networkInterfaces: v.optional(v.array(v.object({ ipAddress: text, subnetID: text })), []),
  }),
);

/** Kubernetes Service, getSecurityGroups */
export const ClusterGroups: Reads<readonly { readonly id: string; readonly name: string }[]> = v.array(
  v.object({ id: v.string(), name: v.string() }),
);
