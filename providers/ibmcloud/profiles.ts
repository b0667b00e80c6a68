import type { Clock } from "../../src/platform/index.ts";
import type { OfferedSize } from "../selection/index.ts";
import {
  type IbmApi,
  isAbsent,
  isLinuxOne,
  type Profile,
  type ProfileNumber,
  toCaaError,
  untilAborted,
} from "./api/index.ts";

/** What IBM says about an instance profile. */
export interface IbmProfile extends OfferedSize {
  /** `amd64`, `s390x`. */
  readonly architecture: string;
  /** Confidential modes (`disabled`, `sgx`, `tdx`); undefined when IBM lists none, and then none may be sent. */
  readonly modes: readonly string[] | undefined;
  /** Values that `enable_secure_boot` may have; undefined when IBM does not say. */
  readonly secureBoot: readonly boolean[] | undefined;
  /** Zones where it is offered; undefined when IBM does not say. */
  readonly zones: readonly string[] | undefined;
  /** Starts Secure Execution images only. */
  readonly secureExecution: boolean;
}

/** How long a profile is good: they change with hardware roll-outs. */
const FRESH_MS = 6 * 60 * 60_000;

/**
 * SGX memory of profiles in SGX mode, GiB; IBM's API does not tell it (VPC documentation, confidential computing profiles,
 * August 2026; larger sizes are left out, where its two tables contradict each other).
 */
const EPC_GIB: Readonly<Record<string, number>> = {
  "bx3dc-2x10": 4,
  "bx3dc-4x20": 8,
  "bx3dc-8x40": 16,
  "cx3dc-2x5": 2,
  "cx3dc-4x10": 4,
  "cx3dc-8x20": 8,
  "cx3dc-16x40": 16,
  "cx3dc-24x60": 24,
};

/** The profiles of interest by name, loaded when first needed and kept for hours. Those that IBM does not have are absent. */
export class ProfileCatalogue {
  readonly #api: IbmApi;
  readonly #clock: Clock;
  readonly #names: readonly string[];
  #held: ReadonlyMap<string, IbmProfile> | undefined;
  #loadedAtMs = 0;
  #pending: Promise<ReadonlyMap<string, IbmProfile>> | undefined;

  constructor(api: IbmApi, clock: Clock, names: readonly string[]) {
    this.#api = api;
    this.#clock = clock;
    this.#names = [...new Set(names)];
  }

  /** Shared by all who ask while it loads; an old list serves when IBM fails. */
  async load(signal: AbortSignal): Promise<ReadonlyMap<string, IbmProfile>> {
    const held = this.#held;
    if (held && this.#clock.monotonicMs() - this.#loadedAtMs < FRESH_MS) return held;
    this.#pending ??= this.#fetch().finally(() => {
      this.#pending = undefined;
    });
    try {
      return await untilAborted(this.#pending, signal);
    } catch (error) {
      if (held && !signal.aborted) return held;
      throw toCaaError(error, { what: "read the instance profiles", nowMs: this.#clock.wallMs(), signal });
    }
  }

  async #fetch(): Promise<ReadonlyMap<string, IbmProfile>> {
    // Many may wait for it, so it is nobody's to cancel; each call in it has its own time limit.
    const unending = new AbortController().signal;
    const found = new Map<string, IbmProfile>();
    // One after the other: there is no hurry, and a throttled one holds the rest back.
    for (const name of this.#names) {
      try {
        found.set(name, readProfile(await this.#api.profile(name, unending)));
      } catch (error) {
        const nowMs = this.#clock.wallMs();
        if (!isAbsent(error, nowMs)) throw toCaaError(error, { what: `read profile ${name}`, nowMs });
      }
    }
    this.#held = found;
    this.#loadedAtMs = this.#clock.monotonicMs();
    return found;
  }
}

/** Reads InstanceProfile. Numbers that are not fixed count as their default, or as the name says (`bx2-2x8`). */
export function readProfile(profile: Profile): IbmProfile {
  const [, cores, gib] = /-(\d+)x(\d+)/.exec(profile.name) ?? [];
  const number = (given: ProfileNumber | undefined, named: string | undefined): number =>
    given?.value ?? given?.default ?? Number(named ?? 0);
  const architecture = profile.vcpu_architecture?.value || (isLinuxOne(profile.name) ? "s390x" : "amd64");
  const modes = profile.confidential_compute_modes?.values;
  return {
    name: profile.name,
    vcpus: number(profile.vcpu_count, cores),
    memoryMiB: number(profile.memory, gib) * 1024,
    gpus: number(profile.gpu_count, undefined),
    epcMiB: modes?.includes("sgx") ? (EPC_GIB[profile.name] ?? 0) * 1024 : 0,
    architecture,
    modes,
    secureBoot: profile.secure_boot_modes?.values,
    zones: profile.zones?.map(({ name }) => name),
    secureExecution: architecture === "s390x" && profile.name[3] === "e",
  };
}
