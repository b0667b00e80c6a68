import type { Socket } from "node:net";
import type { Event } from "../gen/shimproxy/control.ts";
import type { Clock, Log } from "../platform/index.ts";
import type { HypervisorCall } from "./hypervisor-calls.ts";
import { isStop } from "./hypervisor-calls.ts";
import { HypervisorConnection, type HypervisorHost } from "./hypervisor-connection.ts";
import type { ShimProxyLimits } from "./limits.ts";
import { OwedStops } from "./owed-stops.ts";
import type { OwnerSession } from "./ownership.ts";
import { encodeStopReason } from "./wire-names.ts";

export interface HypervisorFrontDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: ShimProxyLimits;
  /** Tells the owner, if there is one. */
  emit(event: Event): void;
  owner(): OwnerSession | undefined;
}

/** All connections of shims to hypervisor.sock, and what must reach a control plane whatever happens to them. */
export class HypervisorFront {
  readonly #deps: HypervisorFrontDeps;
  readonly #connections: Set<HypervisorConnection> = new Set();
  readonly #owed: OwedStops;
  /** Calls that an owner had and that ended for their shim while none was attached, by sandbox and method. */
  readonly #left: Map<string, { sandboxId: string; method: string }> = new Map();
  readonly #host: HypervisorHost;
  #heldBytes = 0;

  constructor(deps: HypervisorFrontDeps) {
    this.#deps = deps;
    this.#owed = new OwedStops(deps.limits.maxOwedStops);
    this.#host = this.#makeHost();
  }

  /** Whether nothing here waits for a control plane. */
  get idle(): boolean {
    return this.#owed.size === 0 && this.calls === 0;
  }

  /** How many connections of shims there are. */
  get connections(): number {
    return this.#connections.size;
  }

  /** How many calls are unanswered. */
  get calls(): number {
    return [...this.#connections].reduce((sum, connection) => sum + [...connection.calls].length, 0);
  }

  /** How many stops no owner has acknowledged. */
  get owedStops(): number {
    return this.#owed.size;
  }

  /** Takes a new connection of a shim. */
  accept(socket: Socket): void {
    if (this.#connections.size >= this.#deps.limits.maxHypervisorConnections) {
      this.#deps.log.warn("too many connections to hypervisor.sock, one is refused", {
        connections: this.#connections.size,
      });
      socket.destroy();
      return;
    }
    this.#connections.add(new HypervisorConnection(socket, this.#host));
  }

  /** What a new owner must know of the hypervisor's side. Callers that left are told once. */
  snapshot(): Event[] {
    const events: Event[] = [];
    const stopsThatWait = new Set<string>();
    for (const connection of this.#connections) {
      for (const call of connection.calls) {
        if (call.sandboxId === "") continue;
        if (isStop(call)) stopsThatWait.add(call.sandboxId);
        events.push({ heldCall: { sandboxId: call.sandboxId, method: call.method, deaths: call.deaths } });
      }
    }
    for (const callerLeft of this.#left.values()) events.push({ callerLeft });
    this.#left.clear();
    for (const [sandboxId, reason] of this.#owed.entries()) {
      if (!stopsThatWait.has(sandboxId))
        events.push({ owedStop: { sandboxId, reason: encodeStopReason(reason) } });
    }
    return events;
  }

  ownerAttached(): void {
    for (const connection of this.#connections) connection.ownerAttached();
  }

  ownerGone(how: "released" | "died"): void {
    for (const connection of [...this.#connections]) connection.ownerGone(how);
  }

  /** The owner has journaled the stop. */
  acknowledgeStop(sandboxId: string): void {
    this.#owed.forget(sandboxId);
  }

  close(): void {
    for (const connection of [...this.#connections]) connection.close();
  }

  #makeHost(): HypervisorHost {
    const deps = this.#deps;
    const { clock, log, limits } = deps;
    return {
      clock,
      log,
      limits,
      get owner() {
        return deps.owner();
      },
      reserve: (bytes) => {
        if (this.#heldBytes + bytes > limits.maxHypervisorBytes) return false;
        this.#heldBytes += bytes;
        return true;
      },
      unreserve: (bytes) => {
        this.#heldBytes -= bytes;
      },
      stopRequested: (sandboxId) => this.#owe(sandboxId, "caller"),
      stopAnswered: (sandboxId, ok) => {
        if (ok) this.#owed.forget(sandboxId);
        else this.#tellOwed(sandboxId);
      },
      abandoned: (call) => this.#onAbandoned(call),
      poisoned: (call) => {
        log.error("the control plane died under one call too often; it is refused", {
          sandboxId: call.sandboxId,
          step: call.method,
          deaths: call.deaths,
        });
        if (call.sandboxId === "") return;
        this.#owe(call.sandboxId, "poison");
        this.#tellOwed(call.sandboxId);
      },
      closed: (connection) => this.#connections.delete(connection),
    };
  }

  #owe(sandboxId: string, reason: "caller" | "poison"): void {
    if (this.#owed.note(sandboxId, reason)) return;
    this.#deps.log.error("a stop cannot be remembered: too many are unacknowledged; attach a control plane", {
      sandboxId,
      owed: this.#owed.size,
    });
  }

  #onAbandoned(call: HypervisorCall): void {
    if (call.sandboxId === "") return;
    if (isStop(call)) this.#tellOwed(call.sandboxId);
    else if (call.everDelivered) this.#tellLeft(call);
  }

  #tellOwed(sandboxId: string): void {
    const reason = this.#owed.get(sandboxId);
    if (reason !== undefined) this.#deps.emit({ owedStop: { sandboxId, reason: encodeStopReason(reason) } });
  }

  #tellLeft(call: HypervisorCall): void {
    const callerLeft = { sandboxId: call.sandboxId, method: call.method };
    if (this.#deps.owner() !== undefined) this.#deps.emit({ callerLeft });
    else if (this.#left.size < this.#deps.limits.maxOwedStops)
      this.#left.set(`${call.method} ${call.sandboxId}`, callerLeft);
  }
}
