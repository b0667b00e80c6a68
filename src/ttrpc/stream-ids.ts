/** How many ids that were passed over are remembered: far more than any client has threads. */
export const MAX_PASSED_OVER = 256;

/**
 * Which stream ids of a connection have been used. A client's ids rise, says containerd/ttrpc PROTOCOL.md, and Go's
 * server refuses one that is not above the last. But the crate ttrpc 0.9.0 (runtime-rs) takes an id and then sends,
 * from several threads, so its ids overtake one another. So an id below the last is fine here if it was passed over
 * and has not come yet; only an id that was used is refused.
 */
export class StreamIds {
  #last = -1;
  readonly #passedOver: Set<number> = new Set();

  /** Whether `id`, an odd number, is new; it counts as used from now on. */
  use(id: number): boolean {
    if (id <= this.#last) return this.#passedOver.delete(id);
    for (let missing = Math.max(this.#last + 2, id - 2 * MAX_PASSED_OVER); missing < id; missing += 2)
      this.#passedOver.add(missing);
    this.#last = id;
    for (const oldest of this.#passedOver) {
      if (this.#passedOver.size <= MAX_PASSED_OVER) break;
      this.#passedOver.delete(oldest);
    }
    return true;
  }
}
