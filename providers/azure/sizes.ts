import type { ComputeManagementClient, ResourceSku } from "@azure/arm-compute";
import type { Clock } from "../../src/platform/index.ts";
import { azureEpcMiB, type OfferedSize } from "../selection/index.ts";
import { normalRegion, toCaaError } from "./arm/index.ts";

/** What Azure says about a size in our region. */
export interface AzureSize extends OfferedSize {
  /** Zones where this subscription may use it; empty: it is offered, but in no zone. */
  readonly zones: readonly string[];
  readonly maxDataDisks: number;
  /** `SNP`, `TDX`; "" when Azure does not say that it can be a confidential VM. */
  readonly confidentialType: string;
  /** The quota's name: `standardDCASv5Family`. */
  readonly family: string;
}

/** How long a list of sizes is good: they change with hardware roll-outs and the subscription's rights. */
const FRESH_MS = 6 * 60 * 60_000;

/** The sizes of interest, loaded when first needed and kept for hours: the answer has megabytes. */
export class SizeCatalogue {
  readonly #compute: ComputeManagementClient;
  readonly #clock: Clock;
  readonly #region: string;
  readonly #wanted: ReadonlySet<string>;
  #sizes: readonly AzureSize[] | undefined;
  #loadedAtMs = 0;
  #pending: Promise<readonly AzureSize[]> | undefined;

  constructor(
    compute: ComputeManagementClient,
    clock: Clock,
    scope: { readonly region: string; readonly names: readonly string[] },
  ) {
    this.#compute = compute;
    this.#clock = clock;
    this.#region = normalRegion(scope.region);
    this.#wanted = new Set(scope.names);
  }

  /** The wanted sizes that are offered here. Shared by all who ask while it loads; an old list serves when Azure fails. */
  async load(signal: AbortSignal): Promise<readonly AzureSize[]> {
    const held = this.#sizes;
    if (held && this.#clock.monotonicMs() - this.#loadedAtMs < FRESH_MS) return held;
    this.#pending ??= this.#fetch().finally(() => {
      this.#pending = undefined;
    });
    try {
      return await this.#pending;
    } catch (error) {
      if (held) return held;
      throw toCaaError(error, {
        what: `list the VM sizes of ${this.#region}`,
        nowMs: this.#clock.wallMs(),
        signal,
      });
    }
  }

  async #fetch(): Promise<readonly AzureSize[]> {
    const sizes: AzureSize[] = [];
    for await (const sku of this.#compute.resourceSkus.list({ filter: `location eq '${this.#region}'` })) {
      if (sku.resourceType !== "virtualMachines" || !this.#wanted.has(sku.name ?? "")) continue;
      const size = readSku(sku, this.#region);
      if (size) sizes.push(size);
    }
    this.#sizes = sizes;
    this.#loadedAtMs = this.#clock.monotonicMs();
    return sizes;
  }
}

/** Reads one entry of the list (Microsoft.Compute skus, 2021-07-01); undefined when the subscription may not use it here. */
export function readSku(sku: ResourceSku, region: string): AzureSize | undefined {
  const restrictions = (sku.restrictions ?? []).filter(
    (one) => one.reasonCode === "NotAvailableForSubscription",
  );
  const here = (place: string): boolean => normalRegion(place) === region;
  if (restrictions.some((one) => one.type === "Location" && (one.values ?? []).some(here))) return undefined;
  const closed = new Set(
    restrictions.filter((one) => one.type === "Zone").flatMap((one) => one.restrictionInfo?.zones ?? []),
  );
  const zones = (sku.locationInfo ?? [])
    .filter((one) => here(one.location ?? ""))
    .flatMap((one) => one.zones ?? [])
    .filter((zone) => !closed.has(zone))
    .sort();
  const capability = (name: string): string =>
    (sku.capabilities ?? []).find((one) => one.name === name)?.value ?? "";
  const name = sku.name ?? "";
  return {
    name,
    vcpus: Number(capability("vCPUs")) || 0,
    memoryMiB: Math.round((Number(capability("MemoryGB")) || 0) * 1024),
    gpus: Number(capability("GPUs")) || 0,
    epcMiB: azureEpcMiB(name),
    zones,
    maxDataDisks: Number(capability("MaxDataDiskCount")) || 0,
    confidentialType: capability("ConfidentialComputingType"),
    family: sku.family ?? "",
  };
}
