import { describeError, isCaaError, wrongState } from "../../errors/index.ts";
import type { Clock, Log } from "../../platform/index.ts";
import { type ClusterClient, LEASES, type Lease } from "../client/index.ts";
import { LEASE_NAME } from "./names.ts";

/** As client-go's defaults, which the Go controller has. */
export const LEASE_MS = 15_000;
const RENEW_DEADLINE_MS = 10_000;
const RETRY_MS = 2000;
/** How long giving the lease back may take at the end. */
const RELEASE_MS = 5000;

export interface LeaderDeps {
  readonly client: Pick<ClusterClient, "find" | "create" | "replace">;
  readonly clock: Clock;
  readonly log: Log;
  readonly namespace: string;
  /** Of this very process: the pod's name and something random. */
  readonly identity: string;
}

/** A time in which this process is the leader. */
export interface Term {
  /** Aborts when the lease is lost, or the process is to end. */
  readonly signal: AbortSignal;
  /**
   * Throws `wrongState` once the lease may be another's: more than the renew deadline ago since it was last renewed, by our own clock. Asked
   * before each thing that must not be done by two, since a paused process learns of a lost lease only when its timers run.
   */
  assertHeld(): void;
}

/** What is known of the lease while another may hold it. */
interface Observed {
  readonly version: string;
  readonly atMs: number;
}

/** Leader election by a Lease, with the rules of client-go: a lease that was not seen to change for its duration is free. */
export class Leadership {
  readonly #deps: LeaderDeps;
  readonly #onChange: (isLeader: boolean) => void;
  #observed: Observed | undefined;
  /** When the API server last told us anything of the lease. */
  #heardMs = Number.NEGATIVE_INFINITY;

  constructor(deps: LeaderDeps, onChange: (isLeader: boolean) => void) {
    this.#deps = deps;
    this.#onChange = onChange;
  }

  /** Milliseconds since the lease could last be read or written. */
  get silentMs(): number {
    return this.#deps.clock.monotonicMs() - this.#heardMs;
  }

  /** Waits for the lease, works while it is held, and so on until the signal aborts. Rejects with what `work` throws, but not for a lost term. */
  async run(work: (term: Term) => Promise<void>, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const lease = await this.#try(signal);
      if (lease === undefined) {
        await this.#pause(signal);
        continue;
      }
      await this.#term(lease, work, signal);
    }
  }

  async #term(first: Held, work: (term: Term) => Promise<void>, signal: AbortSignal): Promise<void> {
    const lost = new AbortController();
    const holder = new LeaseHolder(first, this.#deps.clock);
    const term: Term = {
      signal: AbortSignal.any([signal, lost.signal]),
      assertHeld() {
        term.signal.throwIfAborted();
        if (!holder.isHeld()) throw wrongState("this controller may no longer be the leader");
      },
    };
    this.#deps.log.info("this controller is the leader now");
    this.#onChange(true);
    const renewing = this.#renew(holder, lost, term.signal);
    try {
      await work(term);
    } catch (error) {
      if (!term.signal.aborted) throw error;
    } finally {
      lost.abort(wrongState("the term is over"));
      await renewing;
      this.#onChange(false);
      await this.#giveBack(holder);
    }
  }

  async #renew(holder: LeaseHolder, lost: AbortController, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    try {
      for (;;) {
        await clock.sleep(RETRY_MS, signal);
        const sentMs = clock.monotonicMs();
        try {
          const limited = AbortSignal.any([signal, clock.timeout(holder.remainingMs())]);
          const lease = await this.#write(holder.lease, limited);
          holder.renewed({ lease, sentMs });
        } catch (error) {
          if (signal.aborted) return;
          const isTaken = isCaaError(error, "conflict", "not-found");
          if (isTaken || !holder.isHeld()) {
            log.warn("this controller is no longer the leader", { error: describeError(error) });
            if (isTaken) holder.forget();
            lost.abort(wrongState("the lease is lost"));
            return;
          }
          log.warn("the lease could not be renewed; it is tried again", { error: describeError(error) });
        }
      }
    } catch {
      // The signal: the term is over.
    }
  }

  /** The lease if it is ours now. */
  async #try(signal: AbortSignal): Promise<Held | undefined> {
    const { client, clock, log, namespace } = this.#deps;
    try {
      const sentMs = clock.monotonicMs();
      const found = await client.find(LEASES, { name: LEASE_NAME, namespace }, signal);
      this.#heardMs = clock.monotonicMs();
      if (found === undefined) {
        const draft = { metadata: { name: LEASE_NAME, namespace }, spec: this.#spec(undefined) };
        return { lease: await client.create(LEASES, draft, signal), sentMs };
      }
      if (!this.#isFree(found)) return undefined;
      return { lease: await this.#write(found, signal), sentMs };
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!isCaaError(error, "conflict", "already-exists")) {
        log.warn("the lease cannot be had now; it is tried again", { error: describeError(error) });
      }
      return undefined;
    }
  }

  #isFree(lease: Lease): boolean {
    const { identity, clock } = this.#deps;
    const holder = lease.spec?.holderIdentity ?? "";
    if (holder === "" || holder === identity) return true;
    const nowMs = clock.monotonicMs();
    const { resourceVersion } = lease.metadata;
    if (this.#observed?.version !== resourceVersion)
      this.#observed = { version: resourceVersion, atMs: nowMs };
    // Its times are by another machine's clock; only that nothing changes tells that its holder is gone.
    const durationMs = (lease.spec?.leaseDurationSeconds ?? LEASE_MS / 1000) * 1000;
    return nowMs - this.#observed.atMs >= durationMs;
  }

  async #write(lease: Lease, signal: AbortSignal): Promise<Lease> {
    const { client, clock } = this.#deps;
    const written = await client.replace(LEASES, { ...lease, spec: this.#spec(lease) }, signal);
    this.#heardMs = clock.monotonicMs();
    return written;
  }

  #spec(before: Lease | undefined): NonNullable<Lease["spec"]> {
    const { identity, clock } = this.#deps;
    const now = microTime(clock.wallMs());
    const isOurs = before?.spec?.holderIdentity === identity;
    return {
      ...before?.spec,
      holderIdentity: identity,
      leaseDurationSeconds: LEASE_MS / 1000,
      acquireTime: (isOurs ? before?.spec?.acquireTime : undefined) ?? now,
      renewTime: now,
      leaseTransitions: (before?.spec?.leaseTransitions ?? 0) + (before === undefined || isOurs ? 0 : 1),
    };
  }

  /** So that the next one need not wait. What fails here costs a lease's duration. */
  async #giveBack(holder: LeaseHolder): Promise<void> {
    const { client, clock, log } = this.#deps;
    const { lease } = holder;
    if (!holder.isHeld()) return;
    const { holderIdentity: _, ...spec } = lease.spec ?? {};
    try {
      await client.replace(
        LEASES,
        { ...lease, spec: { ...spec, leaseDurationSeconds: 1, renewTime: microTime(clock.wallMs()) } },
        clock.timeout(RELEASE_MS),
      );
      log.info("this controller has given the lease back");
    } catch (error) {
      log.warn("the lease could not be given back; it runs out", { error: describeError(error) });
    }
  }

  async #pause(signal: AbortSignal): Promise<void> {
    try {
      // Spread, so that two candidates do not always write at once.
      await this.#deps.clock.sleep(RETRY_MS * (1 + Math.random() * 0.2), signal);
    } catch {
      // Only the signal ends a sleep early; the caller looks at it.
    }
  }
}

interface Held {
  readonly lease: Lease;
  /** Monotonic, before the request was sent: the lease lasts from then at least. */
  readonly sentMs: number;
}

class LeaseHolder {
  #held: Held;
  #isLost = false;
  readonly #clock: Clock;

  constructor(first: Held, clock: Clock) {
    this.#held = first;
    this.#clock = clock;
  }

  get lease(): Lease {
    return this.#held.lease;
  }

  renewed(held: Held): void {
    this.#held = held;
  }

  forget(): void {
    this.#isLost = true;
  }

  remainingMs(): number {
    return this.#held.sentMs + RENEW_DEADLINE_MS - this.#clock.monotonicMs();
  }

  isHeld(): boolean {
    return !this.#isLost && this.remainingMs() > 0;
  }
}

/** RFC 3339 with exactly six digits, as Kubernetes' MicroTime is read. */
const microTime = (wallMs: number): string => new Date(wallMs).toISOString().replace("Z", "000Z");
