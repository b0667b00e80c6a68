import * as v from "valibot";
import { describeError, isCaaError, unavailable } from "../../errors/index.ts";
import type { Clock, Log } from "../../platform/index.ts";
import type { ClusterClient, Query } from "./client.ts";
import { watchFailure } from "./failures.ts";
import { readLines } from "./http.ts";
import { type ApiObject, METADATA, type Resource } from "./resources.ts";

/** What changes of a resource are told to. What it throws is logged, and ends nothing. */
export interface FollowHandler<T> {
  /** The object is new, has changed, or is seen again in a complete list. */
  put(object: T): void;
  removed(object: T): void;
  /** After each complete list: what was put is all there is. */
  synced?(): void;
  /** The cluster cannot be followed now; undefined: it can again. Told once for each change. */
  trouble?(error: Error | undefined): void;
}

export interface FollowDeps {
  readonly client: ClusterClient;
  readonly clock: Clock;
  readonly log: Log;
}

/** The API server ends a watch after this time, spread so that not all come back at once. */
const WATCH_SECONDS = 240;
const WATCH_SPREAD_SECONDS = 60;
/** How much later the client ends it itself: the connection is dead then. */
const WATCH_GRACE_MS = 20_000;
/** A complete list is read again after this time, in case that an event was lost. */
const RESYNC_MS = 600_000;
/** A watch that ends sooner, and without any event, counts as failed. */
const SHORT_WATCH_MS = 5000;
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 30_000;
/** Rights and CRDs do not come back within seconds. */
const MISSING_PAUSE_MS = 60_000;

const EVENT = v.object({ type: v.string(), object: v.unknown() });
const BOOKMARK = v.object({ metadata: v.object({ resourceVersion: v.string() }) });
const WITH_METADATA = v.looseObject({ metadata: METADATA });

/**
 * Follows the objects of a resource until the signal aborts: lists, watches, and does so again whenever that ends, with growing
 * pauses while it fails. Never rejects. Objects that went while nobody watched are told as removed after the next list.
 */
export async function follow<T extends ApiObject>(
  deps: FollowDeps,
  target: { readonly resource: Resource<T>; readonly query: Query },
  handler: FollowHandler<T>,
  signal: AbortSignal,
): Promise<void> {
  const following = new Following(deps, target.resource, target.query, handler);
  while (!signal.aborted) {
    const pauseMs = await following.turn(signal);
    try {
      if (pauseMs > 0) await deps.clock.sleep(pauseMs, signal);
    } catch {
      // Only the signal ends a sleep early.
      return;
    }
  }
}

class Following<T extends ApiObject> {
  readonly #deps: FollowDeps;
  readonly #resource: Resource<T>;
  readonly #query: Query;
  readonly #handler: FollowHandler<T>;
  readonly #known = new Map<string, T>();
  /** "": a list is due. */
  #version = "";
  #listedAtMs = 0;
  #failures = 0;
  #trouble = "";

  constructor(deps: FollowDeps, resource: Resource<T>, query: Query, handler: FollowHandler<T>) {
    this.#deps = deps;
    this.#resource = resource;
    this.#query = query;
    this.#handler = handler;
  }

  /** A list if one is due, and one watch. Resolves with the pause to the next turn, milliseconds. */
  async turn(signal: AbortSignal): Promise<number> {
    const { clock } = this.#deps;
    try {
      if (this.#version === "" || clock.monotonicMs() - this.#listedAtMs >= RESYNC_MS)
        await this.#list(signal);
      const startedMs = clock.monotonicMs();
      const events = await this.#watch(signal);
      if (events === 0 && clock.monotonicMs() - startedMs < SHORT_WATCH_MS) {
        throw unavailable(`watch ${this.#resource.plural}: the API server ended it at once`);
      }
      return 0;
    } catch (error) {
      if (signal.aborted) return 0;
      return this.#failed(error);
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { items, resourceVersion } = await this.#deps.client.list(this.#resource, this.#query, signal);
    const present = new Set(items.map(keyOf));
    for (const [key, object] of this.#known) if (!present.has(key)) this.#remove(key, object);
    for (const item of items) this.#put(item);
    this.#version = resourceVersion;
    this.#listedAtMs = this.#deps.clock.monotonicMs();
    this.#tell(() => this.#handler.synced?.());
    this.#works();
  }

  /** Resolves with the number of events when the API server ends the watch. */
  async #watch(signal: AbortSignal): Promise<number> {
    const { client, clock } = this.#deps;
    const timeoutSeconds = WATCH_SECONDS + Math.floor(Math.random() * WATCH_SPREAD_SECONDS);
    const dead = new AbortController();
    const cancel = clock.schedule(timeoutSeconds * 1000 + WATCH_GRACE_MS, () =>
      dead.abort(unavailable(`watch ${this.#resource.plural}: the connection is dead`)),
    );
    const limited = AbortSignal.any([signal, dead.signal]);
    let events = 0;
    let cancelProof = (): void => undefined;
    try {
      const from = { resourceVersion: this.#version, timeoutSeconds };
      const answer = await client.openWatch(this.#resource, this.#query, from, limited);
      // Where nothing changes no line comes for minutes: a watch that stays open works, too.
      cancelProof = clock.schedule(SHORT_WATCH_MS, () => this.#succeeded());
      for await (const line of readLines(answer)) {
        this.#event(line);
        events++;
        this.#succeeded();
      }
      return events;
    } catch (error) {
      if (signal.aborted || isCaaError(error)) throw error;
      if (dead.signal.aborted) throw dead.signal.reason;
      throw unavailable(`watch ${this.#resource.plural}: the connection broke: ${describeError(error)}`, {
        cause: error,
      });
    } finally {
      cancelProof();
      cancel();
    }
  }

  #succeeded(): void {
    this.#failures = 0;
    this.#works();
  }

  #event(line: string): void {
    const { client } = this.#deps;
    const { type, object } = parseEvent(line, this.#resource.plural);
    if (type === "ERROR") {
      throw watchFailure({ verb: "watch", resource: this.#resource.plural, object: "" }, object);
    }
    if (type === "BOOKMARK") {
      const bookmark = v.safeParse(BOOKMARK, object);
      if (bookmark.success) this.#version = bookmark.output.metadata.resourceVersion;
      return;
    }
    const bare = v.safeParse(WITH_METADATA, object);
    if (bare.success) this.#version = bare.output.metadata.resourceVersion;
    const read = client.readOrReport(this.#resource, object);
    if (read === undefined) return;
    if (type === "DELETED") this.#remove(keyOf(read), read);
    else this.#put(read);
  }

  #put(object: T): void {
    this.#known.set(keyOf(object), object);
    this.#tell(() => this.#handler.put(object));
  }

  #remove(key: string, object: T): void {
    this.#known.delete(key);
    this.#tell(() => this.#handler.removed(object));
  }

  #tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#deps.log.error(`a change of ${this.#resource.plural} could not be handled`, {
        error: describeError(error),
      });
    }
  }

  #failed(error: unknown): number {
    if (isCaaError(error, "gone")) this.#version = "";
    const text = describeError(error);
    if (!isCaaError(error, "gone") && text !== this.#trouble) {
      this.#trouble = text;
      this.#deps.log.warn(`${this.#resource.plural} cannot be followed now; it is tried again`, {
        error: text,
      });
      this.#tell(() => this.#handler.trouble?.(error instanceof Error ? error : new Error(text)));
    }
    const growingMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.#failures, 10));
    this.#failures++;
    const pauseMs = isCaaError(error, "unauthorised", "not-found") ? MISSING_PAUSE_MS : growingMs;
    // Spread, so that the clients of a server that comes back do not come all at once.
    return Math.max(isCaaError(error) ? (error.retryAfterMs ?? 0) : 0, pauseMs * (0.5 + Math.random() / 2));
  }

  #works(): void {
    if (this.#trouble === "") return;
    this.#trouble = "";
    this.#deps.log.info(`${this.#resource.plural} can be followed again`);
    this.#tell(() => this.#handler.trouble?.(undefined));
  }
}

function parseEvent(line: string, plural: string): v.InferOutput<typeof EVENT> {
  try {
    return v.parse(EVENT, JSON.parse(line));
  } catch (cause) {
    throw unavailable(`watch ${plural}: an event cannot be read`, { cause });
  }
}

const keyOf = ({ metadata }: ApiObject): string => `${metadata.namespace ?? ""}/${metadata.name}`;
