import type { Clock } from "../../../src/platform/index.ts";
import type { Booter } from "../azure/index.ts";
import type { InstanceBody } from "./schemas.ts";
import type { FakeIbmSettings } from "./settings.ts";

export interface FakeInstance {
  readonly id: string;
  readonly crn: string;
  readonly name: string;
  readonly body: InstanceBody;
  readonly vcpus: number;
  readonly createdAtMs: number;
  status: "pending" | "starting" | "running" | "stopped" | "deleting" | "failed";
  reasons: readonly { readonly code: string; readonly message: string }[];
  readonly volumeId: string;
  readonly vniIds: readonly string[];
  /** Empty until it runs. */
  addresses: readonly string[];
  addressesFromMs: number;
  readonly listedFromMs: number;
  readonly stop: AbortController;
}

export interface FakeVolume {
  readonly id: string;
  readonly name: string;
  readonly zone: string;
  readonly tags: readonly string[];
  readonly createdAtMs: number;
  /** Id of its instance; "" for none. */
  instance: string;
  readonly deleteWithInstance: boolean;
}

export interface FakeVni {
  readonly id: string;
  readonly name: string;
  readonly subnetId: string;
  instance: string;
  readonly autoDelete: boolean;
}

/** All that the fake's handlers share. */
export class World {
  readonly clock: Clock;
  readonly booter: Booter;
  readonly settings: FakeIbmSettings;
  readonly instances: Map<string, FakeInstance> = new Map();
  readonly volumes: Map<string, FakeVolume> = new Map();
  readonly vnis: Map<string, FakeVni> = new Map();
  /** User tags by CRN, each with the time from which it is seen. */
  readonly tags: Map<string, Map<string, number>> = new Map();
  #next = 1;

  constructor(clock: Clock, booter: Booter, settings: FakeIbmSettings) {
    this.clock = clock;
    this.booter = booter;
    this.settings = settings;
  }

  number(): number {
    this.#next += 1;
    return this.#next;
  }

  id(prefix: string): string {
    return `${prefix}_${this.number().toString(16).padStart(8, "0")}-fake`;
  }
}
