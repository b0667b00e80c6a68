import type { VmRequest } from "../contract.ts";
import type { IbmConfig } from "./config.ts";
import type { Placement } from "./placement.ts";
import type { Site } from "./site.ts";

/** IBM takes 64 KiB of user data as they are, and hands them to the guest through the metadata service. */
export const MAX_USER_DATA_BYTES = 65_536;
const MAX_NAME = 63;

export interface InstancePlan {
  readonly config: IbmConfig;
  readonly site: Site;
  readonly request: VmRequest;
  readonly placement: Placement;
  readonly imageId: string;
  readonly tags: readonly string[];
}

/** Most interfaces of a VM: its own, one for the tunnel, one for egress. */
const MAX_NICS = 3;

/** A name for what is made with a VM, unique with it: the VM's own may be as long as a name can be, so its middle is cut. */
function companionName(vmName: string, suffix: string): string {
  const full = `${vmName}-${suffix}`;
  if (full.length <= MAX_NAME) return full;
  const tail = vmName.slice(-9);
  return `${vmName.slice(0, MAX_NAME - suffix.length - 1 - tail.length)}${tail}-${suffix}`;
}

/** Names of the boot volume and of as many interfaces as a VM can have, the primary first. */
export function companionNames(vmName: string): {
  readonly volume: string;
  readonly vnis: readonly string[];
} {
  return {
    volume: companionName(vmName, "boot"),
    vnis: Array.from({ length: MAX_NICS }, (_, at) => companionName(vmName, `net${at}`)),
  };
}

/** How many interfaces the VM gets. A configured second subnet makes a second one for every VM, as in the Go adaptor. */
export function interfacesOf(
  config: Pick<IbmConfig, "secondarySubnetId">,
  request: Pick<VmRequest, "dedicatedTunnelInterface" | "externalNetworkInterface">,
): number {
  const asked = Number(request.dedicatedTunnelInterface) + Number(request.externalNetworkInterface);
  return 1 + Math.max(asked, Number(config.secondarySubnetId !== ""));
}

/** The body of the create call: InstancePrototype by image and network attachment, VPC API 2026-07-21. */
export function buildInstance(plan: InstancePlan): object {
  const { config, site, request, placement } = plan;
  const names = companionNames(request.name);
  const [primary, ...further] = names.vnis
    .slice(0, interfacesOf(config, request))
    .map((name, at) => buildAttachment(plan, { name, primary: at === 0 }));
  return {
    name: request.name,
    image: { id: plan.imageId },
    profile: { name: placement.profile.name },
    zone: { name: placement.spot.zone },
    vpc: { id: site.vpcId },
    user_data: request.userData.reveal(),
    keys: config.keyId === "" ? [] : [{ id: config.keyId }],
    ...(site.resourceGroupId === "" ? {} : { resource_group: { id: site.resourceGroupId } }),
    primary_network_attachment: primary,
    ...(further.length > 0 ? { network_attachments: further } : {}),
    metadata_service: { enabled: true, protocol: "http" },
    ...(placement.tee.mode === undefined ? {} : { confidential_compute_mode: placement.tee.mode }),
    ...(placement.tee.secureBoot === undefined ? {} : { enable_secure_boot: placement.tee.secureBoot }),
    ...(placement.target === "" ? {} : { placement_target: { id: placement.target } }),
    boot_volume_attachment: {
      delete_volume_on_instance_delete: true,
      // A profile is required where a volume is described; this one is the default, and secure boot needs its generation.
      volume: { name: names.volume, profile: { name: "general-purpose" }, user_tags: [...plan.tags] },
    },
    ...(request.volumes.length === 0
      ? {}
      : {
          volume_attachments: request.volumes.map(({ diskId }) => ({
            delete_volume_on_instance_delete: false,
            volume: { id: diskId },
          })),
        }),
  };
}

/** The interface is made and, because of `auto_delete`, deleted with the VM. */
function buildAttachment(
  plan: InstancePlan,
  nic: { readonly name: string; readonly primary: boolean },
): object {
  const { config, site, placement } = plan;
  const secondary = !nic.primary && config.secondarySubnetId !== "";
  const groups = secondary
    ? [config.secondarySecurityGroupId].filter((id) => id !== "")
    : site.securityGroupIds;
  return {
    name: nic.name,
    virtual_network_interface: {
      name: nic.name,
      auto_delete: true,
      enable_infrastructure_nat: true,
      allow_ip_spoofing: secondary,
      subnet: { id: secondary ? config.secondarySubnetId : placement.spot.subnetId },
      ...(groups.length === 0 ? {} : { security_groups: groups.map((id) => ({ id })) }),
    },
  };
}
