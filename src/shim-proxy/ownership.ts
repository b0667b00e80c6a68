import { wrongState } from "../errors/index.ts";
import type { Event } from "../gen/shimproxy/control.ts";

/** Where the events of an attach go. */
export interface EventSink {
  /** False when the owner does not read and must count as dead. */
  write(event: Event): boolean;
  /** Another owner took over, or this one was released or is stuck. */
  end(reason: "released" | "replaced" | "stuck" | "closing"): void;
}

/** One attach of one control plane. */
export interface OwnerSession {
  readonly epoch: bigint;
  /** Where it serves the hypervisor services. */
  readonly frameSocket: string;
}

/** Told when the owner changes. */
export interface OwnershipListener {
  onOwner(session: OwnerSession): void;
  /** `died`: without a good-bye. */
  onOwnerGone(session: OwnerSession, how: "released" | "died"): void;
}

/** Who drives this proxy. At most one; a higher or equal epoch takes over from a lower one. */
export class Ownership {
  readonly #listener: OwnershipListener;
  #highestEpoch: bigint = 0n;
  #current: { readonly session: OwnerSession; readonly sink: EventSink; recovered: boolean } | undefined;

  constructor(listener: OwnershipListener) {
    this.#listener = listener;
  }

  get current(): OwnerSession | undefined {
    return this.#current?.session;
  }

  /** Makes `session` the owner after `snapshot` was written to its sink. Throws `wrong-state` for an epoch that is over. */
  attach(session: OwnerSession, sink: EventSink, snapshot: () => readonly Event[]): void {
    if (session.epoch < this.#highestEpoch) {
      throw wrongState(
        `epoch ${session.epoch} is over, ${this.#highestEpoch} was seen; another control plane owns this node`,
      );
    }
    this.#highestEpoch = session.epoch;
    this.#drop("died", "replaced");
    this.#current = { session, sink, recovered: false };
    for (const event of snapshot()) sink.write(event);
    this.#listener.onOwner(session);
  }

  /** Throws `wrong-state` unless the caller is the attached owner. */
  check(epoch: bigint): void {
    const current = this.#current?.session.epoch;
    if (current === epoch) return;
    if (epoch < this.#highestEpoch)
      throw wrongState(
        `epoch ${epoch} is over, ${this.#highestEpoch} was seen; another control plane owns this node`,
      );
    throw wrongState(`epoch ${epoch} is not attached; call Attach first and keep its stream`);
  }

  /** The owner works on calls from now on. Throws `wrong-state` unless the caller is the attached owner. */
  recovered(epoch: bigint): void {
    this.check(epoch);
    if (this.#current !== undefined) this.#current.recovered = true;
  }

  /** Ends the attach in an orderly way. Throws `wrong-state` unless the caller is the attached owner. */
  release(epoch: bigint): void {
    this.check(epoch);
    this.#drop("released", "released");
  }

  /** The attach stream of `session` broke. */
  streamEnded(session: OwnerSession): void {
    if (this.#current?.session === session) this.#drop("died", "stuck");
  }

  /** This process ends. */
  close(): void {
    this.#drop("released", "closing");
  }

  /** Tells the owner, if there is one. */
  emit(event: Event): void {
    if (this.#current?.sink.write(event) === false) this.#drop("died", "stuck");
  }

  #drop(how: "released" | "died", reason: Parameters<EventSink["end"]>[0]): void {
    const current = this.#current;
    if (current === undefined) return;
    this.#current = undefined;
    current.sink.end(reason);
    // One that died before it worked on any call did not die of one.
    this.#listener.onOwnerGone(current.session, current.recovered ? how : "released");
  }
}
