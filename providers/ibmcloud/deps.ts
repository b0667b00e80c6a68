import { CaaError } from "../../src/errors/index.ts";
import type { Clock, Log } from "../../src/platform/index.ts";
import type { OwnerIdentity } from "../contract.ts";
import { FreshList, SharedPoll } from "../retry/index.ts";
import { type IbmApi, type Instance, toCaaError, type Vni } from "./api/index.ts";
import type { IbmConfig } from "./config.ts";
import type { ImageCatalogue } from "./images.ts";
import type { Placements } from "./placement.ts";
import type { ProfileCatalogue } from "./profiles.ts";
import type { Site } from "./site.ts";

/** What the operations of the provider share. */
export interface IbmDeps {
  readonly api: IbmApi;
  readonly config: IbmConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly owner: OwnerIdentity;
  readonly profiles: ProfileCatalogue;
  readonly images: ImageCatalogue;
  readonly placements: Placements;
  readonly site: (signal: AbortSignal) => Promise<Site>;
  readonly fleet: Fleet;
  /** Names of VMs whose create call ended without an answer: it may still arrive. */
  readonly uncertain: Set<string>;
}

/** IBM does not say how often an instance may be read; Go reads every 2 s. */
const POLL_INTERVAL_MS = 5000;
/** From this many waiting pods on, one list is cheaper than a read for each. */
const LIST_FROM = 3;
/** Instances in a page of a list (IBM VPC API, `limit`). */
const LIST_PAGE = 100;
/** Rounds of polling that may fail in a row before those who wait are told. Each round has retries of its own. */
const POLL_FAILURES = 2;

/** The shared lists and the shared poll of our VPC. */
export interface Fleet {
  readonly instances: FreshList<Instance>;
  readonly vnis: FreshList<Vni>;
  readonly poll: SharedPoll<Instance>;
  /** The instance as it is now; undefined when IBM knows none of that id. */
  find(id: string, signal: AbortSignal): Promise<Instance | undefined>;
  /** Every instance of that exact name in the region: one at most. */
  named(name: string, signal: AbortSignal): Promise<readonly Instance[]>;
}

/** `site` tells the VPC whose instances are listed. */
export function makeFleet(api: IbmApi, clock: Clock, site: (signal: AbortSignal) => Promise<Site>): Fleet {
  const translate = (error: unknown, signal: AbortSignal): CaaError =>
    toCaaError(error, { what: "read the instances", nowMs: clock.wallMs(), signal });
  // A shared list is nobody's to cancel.
  const unending = new AbortController().signal;
  let count = 0;
  const instances = new FreshList(async function* () {
    const { vpcId } = await site(unending);
    let read = 0;
    for await (const instance of api.instances({ vpcId }, unending)) {
      read += 1;
      yield instance;
    }
    count = read;
  });
  const find = async (id: string, signal: AbortSignal): Promise<Instance | undefined> => {
    try {
      return await api.instance(id, signal);
    } catch (error) {
      const failed = translate(error, signal);
      if (failed.kind === "gone") return undefined;
      throw failed;
    }
  };
  const all = async (signal: AbortSignal): Promise<ReadonlyMap<string, Instance>> => {
    try {
      return new Map((await instances.get(signal)).map((instance) => [instance.id, instance]));
    } catch (error) {
      throw translate(error, signal);
    }
  };
  return {
    instances,
    vnis: new FreshList(() => api.vnis(unending)),
    poll: new SharedPoll(
      clock,
      { one: find, all, listCost: () => Math.ceil(count / LIST_PAGE) },
      {
        intervalMs: POLL_INTERVAL_MS,
        listFrom: LIST_FROM,
        failures: POLL_FAILURES,
      },
    ),
    find,
    named: async (name, signal) => {
      const found = await Array.fromAsync(api.instances({ name }, signal));
      return found.filter((instance) => instance.name === name);
    },
  };
}

/** `toCaaError` with the clock and the caller's signal filled in. */
export function translator(
  deps: Pick<IbmDeps, "clock">,
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
