import { FAKE_SIZES, type FakeSize } from "./catalogue.ts";

/** How the fake cloud is, and how it misbehaves. */
export interface FakeAzureSettings {
  readonly subscriptionId: string;
  readonly resourceGroup: string;
  readonly region: string;
  readonly subnetId: string;
  readonly securityGroupId: string;
  /** Images that exist, by their exact text. */
  readonly images: readonly string[];
  readonly sizes: readonly FakeSize[];
  /** Cores of a family that are allowed and already used by others; families that are missing have plenty. */
  readonly quotas: Readonly<Record<string, { readonly limit: number; readonly used: number }>>;
  /** How long Azure works at a create and a delete. */
  readonly createMs: number;
  readonly deleteMs: number;
  /** Lists are this much behind. */
  readonly listLagMs: number;
  /** An interface shows its address this long after it was made. */
  readonly addressDelayMs: number;
  readonly pageSize: number;
  /** What deletes of VMs forget, though deleteOption says otherwise. */
  readonly forget: readonly ("nic" | "disk" | "publicIp")[];
  /** A size in a zone (`Standard_DC2as_v5/1`, or the size alone for anywhere) without room: the create fails, at once or later. */
  readonly full: Readonly<Record<string, "refuse" | "later">>;
  /** The next VMs that start and never report ready. */
  bootFailures: number;
  /** Azure's documented limits per VM and minute are enforced. */
  readonly throttle: boolean;
  /** Azure's documented limits per subscription are enforced, for all nodes together. */
  readonly subscriptionLimits: boolean;
}

export const SUBSCRIPTION = "11111111-2222-3333-4444-555555555555";
export const GROUP = "podvms";

const NETWORK = `/subscriptions/${SUBSCRIPTION}/resourceGroups/net/providers/Microsoft.Network`;
/** The image that the fake has. */
export const IMAGE: string = `/subscriptions/${SUBSCRIPTION}/resourceGroups/images/providers/Microsoft.Compute/galleries/peerpods/images/podvm/versions/1.0.0`;

/** A well-behaved cloud with room for everything. */
export function defaultSettings(): FakeAzureSettings {
  return {
    subscriptionId: SUBSCRIPTION,
    resourceGroup: GROUP,
    region: "eastus",
    subnetId: `${NETWORK}/virtualNetworks/vnet/subnets/podvms`,
    securityGroupId: `${NETWORK}/networkSecurityGroups/podvms`,
    images: [
      IMAGE,
      "/CommunityGalleries/cocopodvm-1/Images/podvm/Versions/0.22.0",
      "/SharedGalleries/shared-1/Images/podvm/Versions/0.22.0",
      "canonical:ubuntu-24_04-lts:cvm:latest",
    ],
    sizes: FAKE_SIZES,
    quotas: {},
    createMs: 20_000,
    deleteMs: 12_000,
    listLagMs: 0,
    addressDelayMs: 0,
    pageSize: 2,
    forget: [],
    full: {},
    bootFailures: 0,
    throttle: false,
    subscriptionLimits: false,
  };
}
