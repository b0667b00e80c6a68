import { capacityExhausted, invalidConfig } from "../../src/errors/index.ts";
import type { Clock } from "../../src/platform/index.ts";
import type { VmSize } from "../contract.ts";
import { selectSize } from "../selection/index.ts";
import type { IbmConfig } from "./config.ts";
import type { IbmProfile, ProfileCatalogue } from "./profiles.ts";
import type { Site, Spot } from "./site.ts";
import { canServe, notOffered, type TeeSettings, type TeeWish, teeSettings, unservable } from "./tee.ts";

/** A profile at a place. */
export interface Placement {
  readonly profile: IbmProfile;
  readonly spot: Spot;
  /** A dedicated host's or group's id; "": none. */
  readonly target: string;
  readonly tee: TeeSettings;
}

/** Attempts of one create, the first included. */
const MAX_PLACEMENTS = 4;
/** How long a place without room is put last. */
const MISS_MS = 5 * 60_000;

/** Chooses profiles and places, and remembers where there was no room. */
export class Placements {
  readonly #config: IbmConfig;
  readonly #catalogue: ProfileCatalogue;
  readonly #clock: Clock;
  readonly #misses = new Map<string, number>();

  constructor(config: IbmConfig, catalogue: ProfileCatalogue, clock: Clock) {
    this.#config = config;
    this.#catalogue = catalogue;
    this.#clock = clock;
  }

  /**
   * Up to four placements for the request: the chosen profile on the dedicated host, then in its group, or in each zone;
   * then its alternatives. Those that had no room in the last minutes come last. Throws `invalid-request` when no allowed
   * profile fits, `invalid-config` or `capacity` when the chosen one is not offered.
   */
  async plan(site: Site, request: VmSize, signal: AbortSignal): Promise<readonly Placement[]> {
    const config = this.#config;
    const wish: TeeWish = {
      confidential: config.confidential,
      epc: (request.epcMiB ?? 0) > 0 && request.machineType === "",
    };
    const known = await this.#catalogue.load(signal);
    const choice = selectSize(
      {
        offered: offeredTo(known, wish),
        allowed: config.allowedProfiles,
        defaultSize: config.defaultProfile,
        allowedKey: "IBMCLOUD_PODVM_INSTANCE_PROFILE_LIST",
      },
      request,
    );
    const chosen = known.get(choice.name);
    if (!chosen) throw invalidConfig(notOffered(choice.name, `in ${site.spots[0]?.zone ?? "this region"}`));
    if (!canServe(chosen, wish)) throw unservable(chosen, wish);
    const profiles = [choice.name, ...choice.alternatives].flatMap((name) => known.get(name) ?? []);
    const placements = profiles.flatMap((profile) => this.#places(profile, { site, wish }));
    if (placements.length === 0) {
      throw capacityExhausted(notOffered(choice.name, `in ${site.spots.map(({ zone }) => zone).join(", ")}`));
    }
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

  #places(profile: IbmProfile, where: { readonly site: Site; readonly wish: TeeWish }): readonly Placement[] {
    const { site, wish } = where;
    const tee = teeSettings(profile, wish);
    const targets = [site.hostId, site.groupId].filter((id) => id !== "");
    // A dedicated host is in one zone, and whoever asks for one does not want another.
    const spots = targets.length > 0 ? site.spots.slice(0, 1) : site.spots;
    return spots
      .filter((spot) => !profile.zones || profile.zones.includes(spot.zone))
      .flatMap((spot) =>
        (targets.length > 0 ? targets : [""]).map((target) => ({ profile, spot, target, tee })),
      );
  }
}

/** The profiles that can be what is wished. SGX memory counts only where it is asked for: else it is not used. */
function offeredTo(known: ReadonlyMap<string, IbmProfile>, wish: TeeWish): readonly IbmProfile[] {
  return [...known.values()]
    .filter((profile) => canServe(profile, wish))
    .map((profile) => (wish.epc ? profile : { ...profile, epcMiB: 0 }));
}

/** For people: `bx2-2x8 in eu-de-1`. */
export function nameOf(placement: Placement): string {
  const target = placement.target === "" ? "" : ` on ${placement.target}`;
  return `${placement.profile.name} in ${placement.spot.zone}${target}`;
}

function keyOf(placement: Placement): string {
  return `${placement.profile.name}/${placement.spot.zone}/${placement.target}`;
}
