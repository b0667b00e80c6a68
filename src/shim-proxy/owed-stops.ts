import type { OwedStopReason } from "./control-types.ts";

/**
 * The stops that no control plane has answered or acknowledged. A StopVM is remembered when it comes in, before anything
 * can go wrong with it, so there is no path on which one is lost while this process lives.
 */
export class OwedStops {
  readonly #stops: Map<string, OwedStopReason> = new Map();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#stops.size;
  }

  /** False when the bound is reached and the stop could not be remembered. */
  note(sandboxId: string, reason: OwedStopReason): boolean {
    if (this.#stops.size >= this.#max && !this.#stops.has(sandboxId)) return false;
    if (reason === "poison" || !this.#stops.has(sandboxId)) this.#stops.set(sandboxId, reason);
    return true;
  }

  /** The reason if the stop is owed. */
  get(sandboxId: string): OwedStopReason | undefined {
    return this.#stops.get(sandboxId);
  }

  /** Answered or acknowledged. */
  forget(sandboxId: string): void {
    this.#stops.delete(sandboxId);
  }

  entries(): IterableIterator<[string, OwedStopReason]> {
    return this.#stops.entries();
  }
}
