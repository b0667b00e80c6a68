/** A size as the fake's list of SKUs tells it. */
export interface FakeSize {
  readonly name: string;
  readonly vcpus: number;
  readonly memoryGB: number;
  readonly family: string;
  readonly zones: readonly string[];
  readonly gpus?: number;
  readonly maxDataDisks?: number;
  /** `SNP`, `TDX`: may be a confidential VM. */
  readonly confidential?: string;
  /** Not for this subscription: in the whole region, or in these zones. */
  readonly restricted?: "region" | readonly string[];
}

const zones = ["1", "2", "3"];

/** Some real sizes. */
export const FAKE_SIZES: readonly FakeSize[] = [
  ...[2, 4, 8, 16].map((vcpus) => ({
    name: `Standard_DC${vcpus}as_v5`,
    vcpus,
    memoryGB: vcpus * 4,
    family: "standardDCASv5Family",
    zones,
    confidential: "SNP",
    maxDataDisks: vcpus * 2,
  })),
  { name: "Standard_D2s_v5", vcpus: 2, memoryGB: 8, family: "standardDSv5Family", zones, maxDataDisks: 4 },
  { name: "Standard_D4s_v5", vcpus: 4, memoryGB: 16, family: "standardDSv5Family", zones, maxDataDisks: 8 },
  {
    name: "Standard_NC24ads_A100_v4",
    vcpus: 24,
    memoryGB: 220,
    gpus: 1,
    family: "StandardNCADSA100v4Family",
    zones,
  },
  ...[1, 2, 4].map((vcpus) => ({
    name: `Standard_DC${vcpus}s_v3`,
    vcpus,
    memoryGB: vcpus * 8,
    family: "standardDDCSv3Family",
    zones,
    maxDataDisks: vcpus * 4,
  })),
];

/** One entry of the list (skus.json 2021-07-01, ResourceSku). */
export function skuEntry(size: FakeSize, region: string): object {
  const capability = (name: string, value: string | number): object => ({ name, value: `${value}` });
  const restrictions =
    size.restricted === undefined
      ? []
      : size.restricted === "region"
        ? [
            {
              type: "Location",
              values: [region],
              restrictionInfo: { locations: [region] },
              reasonCode: "NotAvailableForSubscription",
            },
          ]
        : [
            {
              type: "Zone",
              values: [region],
              restrictionInfo: { locations: [region], zones: size.restricted },
              reasonCode: "NotAvailableForSubscription",
            },
          ];
  return {
    resourceType: "virtualMachines",
    name: size.name,
    tier: "Standard",
    size: size.name.replace("Standard_", ""),
    family: size.family,
    locations: [region],
    locationInfo: [{ location: region, zones: size.zones, zoneDetails: [] }],
    capabilities: [
      capability("vCPUs", size.vcpus),
      capability("MemoryGB", size.memoryGB),
      capability("MaxDataDiskCount", size.maxDataDisks ?? 8),
      capability("CpuArchitectureType", "x64"),
      capability("HyperVGenerations", "V1,V2"),
      ...(size.gpus ? [capability("GPUs", size.gpus)] : []),
      ...(size.confidential ? [capability("ConfidentialComputingType", size.confidential)] : []),
    ],
    restrictions,
  };
}

/** Whether it is an SGX size: an ordinary VM to Azure. */
export function isSgx(size: FakeSize): boolean {
  return /^Standard_DC\d+d?s?_v[23]$/.test(size.name);
}
