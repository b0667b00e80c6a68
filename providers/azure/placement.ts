import { isCaaError, unavailable } from "../../src/errors/index.ts";
import type { Clock, Log } from "../../src/platform/index.ts";
import type { VmSize } from "../contract.ts";
import { azureEpcMiB, selectSize } from "../selection/index.ts";
import type { AzureConfig } from "./config.ts";
import type { AzureSize, SizeCatalogue } from "./sizes.ts";

/** A size in a zone ("": wherever the region has room). */
export interface Placement {
  readonly size: string;
  readonly zone: string;
  readonly confidential: boolean;
  /** What the catalogue knows of the size; undefined when it could not be loaded. */
  readonly known: AzureSize | undefined;
}

/** Attempts of one create, the first included. */
const MAX_PLACEMENTS = 3;
/** How long a size without capacity is put last. */
const MISS_MS = 5 * 60_000;

/** Chooses sizes and zones, and remembers where there was no room. */
export class Placements {
  readonly #config: AzureConfig;
  readonly #catalogue: SizeCatalogue;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #misses = new Map<string, number>();

  constructor(
    config: AzureConfig,
    catalogue: SizeCatalogue,
    env: { readonly clock: Clock; readonly log: Log },
  ) {
    this.#config = config;
    this.#catalogue = catalogue;
    this.#clock = env.clock;
    this.#log = env.log;
  }

  /**
   * Up to three placements for the request: the chosen size in each configured zone, then its alternatives; those that had
   * no room in the last minutes come last. Throws `invalid-request` when no allowed size fits.
   */
  async plan(request: VmSize, signal: AbortSignal): Promise<readonly Placement[]> {
    const config = this.#config;
    const sizes = await this.#sizes(request, signal);
    const ordinary = new Set(config.confidential && request.machineType === "" ? config.ordinarySizes : []);
    const choice = selectSize(
      {
        offered: (sizes ?? []).filter((size) => !ordinary.has(size.name)),
        allowed: config.allowedSizes,
        defaultSize: config.defaultSize,
        allowedKey: "AZURE_INSTANCE_SIZES",
      },
      request,
    );
    const placements = [choice.name, ...choice.alternatives].flatMap((name) =>
      this.#inZones(
        name,
        sizes?.find((size) => size.name === name),
      ),
    );
    const fresh = placements.filter((one) => !this.#missed(one));
    const stale = placements.filter((one) => this.#missed(one));
    return [...fresh, ...stale].slice(0, MAX_PLACEMENTS);
  }

  /** There was no room: for some minutes other placements go first. */
  recordMiss(placement: Placement): void {
    this.#misses.set(keyOf(placement), this.#clock.monotonicMs() + MISS_MS);
  }

  #missed(placement: Placement): boolean {
    return (this.#misses.get(keyOf(placement)) ?? 0) > this.#clock.monotonicMs();
  }

  #inZones(size: string, known: AzureSize | undefined): readonly Placement[] {
    const config = this.#config;
    const confidential =
      config.confidential && azureEpcMiB(size) === 0 && !config.ordinarySizes.includes(size);
    const usable = config.zones.filter((zone) => !known || known.zones.includes(zone));
    // If the list says that no configured zone has the size, the first is asked all the same: Azure's refusal says it best.
    const zones = config.zones.length === 0 ? [""] : usable.length > 0 ? usable : config.zones.slice(0, 1);
    return zones.map((zone) => ({ size, zone, confidential, known }));
  }

  /** Undefined when the list cannot be had and the request can be served without it. */
  async #sizes(request: VmSize, signal: AbortSignal): Promise<readonly AzureSize[] | undefined> {
    try {
      return await this.#catalogue.load(signal);
    } catch (error) {
      if (isCaaError(error, "cancelled")) throw error;
      const measured =
        request.gpus > 0 || (request.epcMiB ?? 0) > 0 || request.vcpus > 0 || request.memoryMiB > 0;
      if (measured && request.machineType === "") {
        throw isCaaError(error) ? error : unavailable("cannot choose a VM size", { cause: error });
      }
      this.#log.warn("VM sizes could not be listed: the size is used unchecked", {
        step: "size",
        error: error instanceof Error ? error.message : String(error),
      });
      return undefined;
    }
  }
}

function keyOf(placement: Placement): string {
  return `${placement.size}/${placement.zone}`;
}
