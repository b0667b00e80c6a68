import type { Clock } from "../../../src/platform/index.ts";
import type { Booter } from "./booter.ts";
import type { FakeAzureSettings } from "./settings.ts";
import {
  type FakeDisk,
  type FakeNic,
  type FakePublicIp,
  type FakeVm,
  type Operation,
  Shelf,
} from "./store.ts";

/** All that the fake's handlers share. */
export class World {
  readonly clock: Clock;
  readonly booter: Booter;
  readonly settings: FakeAzureSettings;
  readonly vms: Shelf<FakeVm>;
  readonly nics: Shelf<FakeNic>;
  readonly disks: Shelf<FakeDisk>;
  readonly publicIps: Shelf<FakePublicIp>;
  readonly operations: Map<string, Operation> = new Map();
  #next = 1;

  constructor(clock: Clock, booter: Booter, settings: FakeAzureSettings) {
    this.clock = clock;
    this.booter = booter;
    this.settings = settings;
    const lag = (): number => this.settings.listLagMs;
    this.vms = new Shelf(clock, lag);
    this.nics = new Shelf(clock, lag);
    this.disks = new Shelf(clock, lag);
    this.publicIps = new Shelf(clock, lag);
  }

  number(): number {
    this.#next += 1;
    return this.#next;
  }

  id(type: string, name: string): string {
    const { subscriptionId, resourceGroup } = this.settings;
    return `/subscriptions/${subscriptionId}/resourceGroups/${resourceGroup}/providers/${type}/${name}`;
  }

  operation(provider: Operation["provider"]): Operation {
    const id = `00000000-0000-4000-8000-${this.number().toString(16).padStart(12, "0")}`;
    const operation: Operation = { id, provider, startMs: this.clock.wallMs(), status: "InProgress" };
    this.operations.set(id, operation);
    return operation;
  }

  /** Headers of a 201 or 202: where the operation is watched. */
  operationHeaders(operation: Operation, version: string, origin: string): Record<string, string> {
    const { subscriptionId, region } = this.settings;
    const at = `${origin}/subscriptions/${subscriptionId}/providers/${operation.provider}/locations/${region}`;
    return {
      "azure-asyncoperation": `${at}/operations/${operation.id}?api-version=${version}`,
      location: `${at}/operationResults/${operation.id}?api-version=${version}`,
      "retry-after": "10",
      "x-ms-request-id": operation.id,
    };
  }
}
