import type { Disk, VirtualMachine } from "@azure/arm-compute";
import type { NetworkInterface, PublicIPAddress } from "@azure/arm-network";
import { CaaError, invalidRequest } from "../../src/errors/index.ts";
import type { Clock, Log } from "../../src/platform/index.ts";
import type { OwnerIdentity, VmRef } from "../contract.ts";
import { FreshList, SharedPoll } from "../retry/index.ts";
import { type AzureClients, parseArmId, sameArm, toCaaError } from "./arm/index.ts";
import type { AzureConfig } from "./config.ts";
import type { Placements } from "./placement.ts";
import type { SizeCatalogue } from "./sizes.ts";

/** What the operations of the provider share. */
export interface AzureDeps {
  readonly clients: AzureClients;
  readonly config: AzureConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly sizes: SizeCatalogue;
  readonly placements: Placements;
  readonly groups: ResourceGroups;
  readonly sshPublicKey: () => Promise<string>;
  /** Its cluster may become known later: read it at each use. */
  readonly owner: OwnerIdentity;
  /** Names of VMs whose create call ended without an answer: it may still arrive. */
  readonly uncertain: Set<string>;
}

/** Where a VM is. */
export interface VmTarget {
  readonly group: string;
  readonly name: string;
}

/** The shared lists and polls of one resource group. */
export interface ResourceGroup {
  readonly vms: FreshList<VirtualMachine>;
  readonly nics: FreshList<NetworkInterface>;
  readonly disks: FreshList<Disk>;
  readonly publicIps: FreshList<PublicIPAddress>;
  readonly poll: SharedPoll<VirtualMachine>;
  /** The VM as it is now; undefined when Azure knows none of that name. */
  find(name: string, signal: AbortSignal): Promise<VirtualMachine | undefined>;
}

/** Azure allows 12 reads a minute of one VM and 15 of one operation, so not more often than this. */
const POLL_INTERVAL_MS = 5000;
/** From this many waiting pods on, one list is cheaper than a read for each. */
const LIST_FROM = 3;
/** Rounds of polling that may fail in a row before those who wait are told. Each round has retries of its own. */
const POLL_FAILURES = 2;

/** Resource groups by name: nearly always one, but an id may lead to another. */
export class ResourceGroups {
  readonly #clients: AzureClients;
  readonly #clock: Clock;
  readonly #groups = new Map<string, ResourceGroup>();

  constructor(clients: AzureClients, clock: Clock) {
    this.#clients = clients;
    this.#clock = clock;
  }

  get(name: string): ResourceGroup {
    const key = name.toLowerCase();
    const held = this.#groups.get(key);
    if (held) return held;
    const made = this.#make(name);
    this.#groups.set(key, made);
    return made;
  }

  #make(group: string): ResourceGroup {
    const { compute, network } = this.#clients;
    let pages = 1;
    const vms = new FreshList(async function* () {
      let read = 0;
      for await (const page of compute.virtualMachines.list(group).byPage()) {
        read += 1;
        yield* page;
      }
      pages = read;
    });
    const translate = (error: unknown, signal: AbortSignal): CaaError =>
      toCaaError(error, { what: `read the VMs of ${group}`, nowMs: this.#clock.wallMs(), signal });
    const source = {
      one: async (name: string, signal: AbortSignal): Promise<VirtualMachine | undefined> => {
        try {
          return await compute.virtualMachines.get(group, name, { abortSignal: signal });
        } catch (error) {
          const failed = translate(error, signal);
          if (failed.kind === "gone") return undefined;
          throw failed;
        }
      },
      all: async (signal: AbortSignal): Promise<ReadonlyMap<string, VirtualMachine>> => {
        try {
          return new Map((await vms.get(signal)).map((vm) => [vm.name ?? "", vm]));
        } catch (error) {
          throw translate(error, signal);
        }
      },
      listCost: (): number => pages,
    };
    return {
      find: source.one,
      vms,
      nics: new FreshList(() => network.networkInterfaces.list(group)),
      disks: new FreshList(() => compute.disks.listByResourceGroup(group)),
      publicIps: new FreshList(() => network.publicIPAddresses.list(group)),
      poll: new SharedPoll(this.#clock, source, {
        intervalMs: POLL_INTERVAL_MS,
        listFrom: LIST_FROM,
        failures: POLL_FAILURES,
      }),
    };
  }
}

/** Finds the VM that a reference means: by its id, in whatever group that names, else by name in ours. */
export function locateVm(config: AzureConfig, ref: VmRef): VmTarget {
  const id = ref.id === undefined ? undefined : parseArmId(ref.id);
  if (id?.type.toLowerCase() !== "microsoft.compute/virtualmachines") {
    return { group: config.resourceGroup, name: ref.name };
  }
  if (!sameArm(id.subscriptionId, config.subscriptionId)) {
    throw invalidRequest(
      `VM ${id.name} is in subscription ${id.subscriptionId}, which AZURE_SUBSCRIPTION_ID is not: delete it by hand, or set the subscription back`,
    );
  }
  return { group: id.resourceGroup, name: id.name };
}

/** The id that Azure gives to a VM of this name. */
export function vmId(config: AzureConfig, target: VmTarget): string {
  return `/subscriptions/${config.subscriptionId}/resourceGroups/${target.group}/providers/Microsoft.Compute/virtualMachines/${target.name}`;
}

/** `toCaaError` with the clock and the caller's signal filled in. */
export function translator(
  deps: Pick<AzureDeps, "clock">,
  signal: AbortSignal,
): (error: unknown, what: string, place?: string) => CaaError {
  return (error, what, place) =>
    toCaaError(error, {
      what,
      nowMs: deps.clock.wallMs(),
      signal,
      ...(place === undefined ? {} : { place }),
    });
}

/** The error with the VM's name in its text, where a shared call or list failed that knows none. */
export function about(error: CaaError, name: string): CaaError {
  if (error.message.includes(name)) return error;
  return new CaaError(error.kind, `VM ${name}: ${error.message}`, {
    cause: error,
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
  });
}
