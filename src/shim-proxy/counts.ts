import type { Event } from "../gen/shimproxy/control.ts";
import type { DialVm, VmStream } from "./vm-dialler.ts";
import { decodeLinkState } from "./wire-names.ts";

/** What the process has counted since it began, for metrics. */
export class Counts {
  /** When that was, by the node's clock. */
  readonly startedMs: number;
  /** Calls to agents that shims wait for now. */
  agentCalls = 0;
  dials = 0;
  dialsFailed = 0;
  linksBroken = 0;
  linksHealed = 0;
  linksGivenUp = 0;
  readonly losses: Map<string, number> = new Map();
  readonly #open: Set<VmStream> = new Set();
  /** Of connections that are closed. */
  #bytesTo = 0;
  #bytesFrom = 0;

  constructor(startedMs: number) {
    this.startedMs = Math.round(startedMs);
  }

  get bytesTo(): number {
    return [...this.#open].reduce((sum, vm) => sum + vm.bytesWritten(), this.#bytesTo);
  }

  get bytesFrom(): number {
    return [...this.#open].reduce((sum, vm) => sum + vm.bytesRead(), this.#bytesFrom);
  }

  /** Something that owners are told, whether there is one or not. */
  saw(event: Event): void {
    if (event.loss !== undefined)
      this.losses.set(event.loss.kind, (this.losses.get(event.loss.kind) ?? 0) + 1);
    if (event.link === undefined) return;
    const state = decodeLinkState(event.link.state);
    if (state === "down") this.linksBroken++;
    else if (state === "lost") this.linksGivenUp++;
    else if (state === "up" && event.link.breaks > 0) this.linksHealed++;
  }

  /** The dialler, with its attempts and their bytes counted. */
  counted(dial: DialVm): DialVm {
    return async (target, signal) => {
      this.dials++;
      try {
        const vm = await dial(target, signal);
        this.#watch(vm);
        return vm;
      } catch (error) {
        this.dialsFailed++;
        throw error;
      }
    };
  }

  #watch(vm: VmStream): void {
    const closed = (): void => {
      this.#open.delete(vm);
      this.#bytesTo += vm.bytesWritten();
      this.#bytesFrom += vm.bytesRead();
    };
    // Its VM may have hung up in this very moment: a close that has happened is not told again.
    if (vm.stream.closed) {
      closed();
      return;
    }
    this.#open.add(vm);
    vm.stream.once("close", closed);
  }
}
