import { cancelled } from "../../src/errors/index.ts";

/**
 * A list that several callers share, and that for each of them was begun after it asked: callers that come while one is
 * read wait for the next, together.
 */
export class FreshList<T> {
  readonly #read: () => AsyncIterable<T>;
  #running: Promise<unknown> = Promise.resolve();
  #next: Promise<readonly T[]> | undefined;

  constructor(read: () => AsyncIterable<T>) {
    this.#read = read;
  }

  /** All items. Rejects as the underlying call does, and `cancelled` when the signal aborts: the others go on waiting. */
  async get(signal: AbortSignal): Promise<readonly T[]> {
    this.#next ??= this.#after(this.#running);
    const shared = this.#next;
    const { promise, reject } = Promise.withResolvers<never>();
    const giveUp = (): void =>
      reject(cancelled("the caller gave up during a list", { cause: signal.reason }));
    if (signal.aborted) giveUp();
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      return await Promise.race([shared, promise]);
    } finally {
      signal.removeEventListener("abort", giveUp);
      // Whoever gave up does not hear of a later failure; the others do.
      shared.catch(() => undefined);
    }
  }

  async #after(previous: Promise<unknown>): Promise<readonly T[]> {
    // A failure of the one before was told to its own callers.
    await previous.catch(() => undefined);
    const mine = this.#next;
    if (mine) this.#running = mine;
    this.#next = undefined;
    const items: T[] = [];
    for await (const item of this.#read()) items.push(item);
    return items;
  }
}
