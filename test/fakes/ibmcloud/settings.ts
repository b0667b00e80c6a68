/** A profile as the fake has it. */
export interface FakeProfile {
  readonly name: string;
  readonly vcpus: number;
  readonly memoryGiB: number;
  readonly architecture: "amd64" | "s390x";
  /** Absent: the answer has no list, as for s390x. */
  readonly modes?: readonly ("disabled" | "sgx" | "tdx")[];
  readonly gpus?: number;
  readonly zones?: readonly string[];
  /** How `vcpu_count` is told; default fixed. */
  readonly form?: "fixed" | "enum" | "range" | "dependent";
}

export interface FakeImage {
  readonly id: string;
  readonly name: string;
  readonly architecture: "amd64" | "s390x";
  readonly status: string;
  readonly userDataFormat: string;
  readonly osName: string;
  readonly zones: readonly string[];
  /** Whether it was built for Secure Execution. No answer tells it. */
  readonly secureExecution: boolean;
}

export interface FakeSubnet {
  readonly id: string;
  readonly zone: string;
  readonly vpcId: string;
  readonly free: number;
}

export interface FakeHost {
  readonly id: string;
  readonly zone: string;
  readonly group: boolean;
  /** Takes nothing now. */
  readonly full?: boolean;
  /** Not open for placement. */
  readonly disabled?: boolean;
}

/** How the fake cloud is, and how it misbehaves. */
export interface FakeIbmSettings {
  readonly region: string;
  readonly vpcId: string;
  readonly clusterId: string;
  readonly resourceGroupId: string;
  readonly subnets: readonly FakeSubnet[];
  readonly securityGroups: readonly { readonly id: string; readonly name: string; readonly vpcId: string }[];
  readonly keys: readonly string[];
  readonly hosts: readonly FakeHost[];
  readonly profiles: readonly FakeProfile[];
  readonly images: readonly FakeImage[];
  readonly workers: readonly { readonly id: string; readonly address: string; readonly subnetId: string }[];
  /** vCPUs that are allowed, and already used by others. */
  readonly quota: { readonly limit: number; readonly used: number };
  readonly apiKeys: readonly string[];
  readonly trustedProfiles: readonly string[];
  readonly tokenMs: number;
  /** How long IBM works at a create and a delete. */
  readonly createMs: number;
  readonly deleteMs: number;
  /** Volumes and interfaces go this much after their instance. */
  readonly companionLagMs: number;
  /** Lists of instances are this much behind. */
  readonly listLagMs: number;
  /** Interfaces show their addresses this long after the instance runs. */
  readonly addressDelayMs: number;
  /** Tags are seen this long after they were attached. */
  tagDelayMs: number;
  /** The tagging service has not heard of an instance for this long. */
  readonly tagBlindMs: number;
  readonly pageSize: number;
  /** What deletes of instances forget, though they should not. */
  readonly forget: readonly ("volume" | "vni")[];
  /** A profile in a zone (`bx2-2x8/eu-de-1`, or the profile alone) without room: the create fails, at once or later. */
  readonly full: Readonly<Record<string, "refuse" | "later">>;
  /** The next VMs that do not start. */
  bootFailures: number;
}

const ZONES = ["eu-de-1", "eu-de-2", "eu-de-3"];

function x86(name: string, over: Partial<FakeProfile> = {}): FakeProfile {
  const [, vcpus = "0", memory = "0"] = /-(\d+)x(\d+)/.exec(name) ?? [];
  const confidential = /^[bc]x3dc-/.test(name);
  return {
    name,
    vcpus: Number(vcpus),
    memoryGiB: Number(memory),
    architecture: "amd64",
    modes: confidential ? ["disabled", "sgx", "tdx"] : ["disabled"],
    zones: ZONES,
    ...over,
  };
}

function s390x(name: string): FakeProfile {
  const { modes: _none, ...rest } = x86(name);
  return { ...rest, architecture: "s390x" };
}

export const LIST_J: readonly string[] = ["bx2-2x8", "mx2-2x16", "bx2-4x16", "cx2-8x16", "mx2-4x32"];
export const LIST_Z: readonly string[] = [
  "bz2e-1x4",
  "bz2e-2x8",
  "cz2e-4x8",
  "mz2e-2x16",
  "bz2e-4x16",
  "cz2e-8x16",
  "mz2e-4x32",
];

/** An image that nothing is wrong with. */
export function fakeImage(id: string, over: Partial<FakeImage> = {}): FakeImage {
  const architecture = over.architecture ?? "amd64";
  return {
    id,
    name: `podvm-${architecture}`,
    architecture,
    status: "available",
    userDataFormat: "cloud_init",
    osName: architecture === "s390x" ? "ubuntu-22-04-s390x" : "ubuntu-24-04-amd64",
    zones: ZONES,
    secureExecution: false,
    ...over,
  };
}

export const IMAGE = "r010-image-amd64";
export const IMAGE_Z = "r010-image-s390x";
export const IMAGE_SE = "r010-image-se";

/** A well-behaved cloud with room for everything. */
export function defaultSettings(): FakeIbmSettings {
  const vpcId = "r010-vpc-1";
  const clusterId = "c0ffee0c0ffee0c0ffee";
  return {
    region: "eu-de",
    vpcId,
    clusterId,
    resourceGroupId: "rg-1",
    subnets: ZONES.map((zone, at) => ({ id: `02b7-subnet-${at + 1}`, zone, vpcId, free: 200 })),
    securityGroups: [
      { id: "r010-sg-1", name: "podvms", vpcId },
      { id: "r010-sg-kube", name: `kube-${clusterId}`, vpcId },
      { id: "r010-sg-foreign", name: "foreign", vpcId: "r010-vpc-2" },
    ],
    keys: ["r010-key-1"],
    hosts: [],
    profiles: [
      ...LIST_J.map((name) => x86(name)),
      ...["bx3dc-2x10", "bx3dc-4x20", "cx3dc-2x5"].map((name) => x86(name)),
      x86("gx3-16x80x1l4", { gpus: 1 }),
      ...LIST_Z.map(s390x),
      ...["bz2-1x4", "bz2-2x8"].map(s390x),
    ],
    images: [
      fakeImage(IMAGE),
      fakeImage(IMAGE_Z, { architecture: "s390x" }),
      fakeImage(IMAGE_SE, { architecture: "s390x", secureExecution: true }),
    ],
    workers: [
      { id: "kube-c0ffee0c0ffee0c0ffee-pool-00000111", address: "10.243.0.4", subnetId: "02b7-subnet-1" },
      { id: "kube-c0ffee0c0ffee0c0ffee-pool-00000222", address: "10.243.64.4", subnetId: "02b7-subnet-2" },
    ],
    quota: { limit: 200, used: 0 },
    apiKeys: ["fake-api-key"],
    trustedProfiles: ["Profile-1111"],
    tokenMs: 3_600_000,
    createMs: 20_000,
    deleteMs: 12_000,
    companionLagMs: 2000,
    listLagMs: 0,
    addressDelayMs: 0,
    tagDelayMs: 0,
    tagBlindMs: 0,
    pageSize: 2,
    forget: [],
    full: {},
    bootFailures: 0,
  };
}
