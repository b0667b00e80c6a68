/** `promise`, or the signal's reason if that comes first. What `promise` stands for goes on. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: left, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, left]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/**
 * Work that several callers may wait for and that none of them owns: a caller that gives up (its signal) stops waiting,
 * the work goes on until it ends or is aborted.
 */
export class SharedTask<T> {
  readonly #abort = new AbortController();
  readonly #promise: Promise<T>;
  #settled = false;

  constructor(run: (signal: AbortSignal) => Promise<T>) {
    this.#promise = run(this.#abort.signal).finally(() => {
      this.#settled = true;
    });
    this.#promise.catch(() => {
      // Told to whoever joins; a failure that nobody waits for is recorded in the journal by the work itself.
    });
  }

  get running(): boolean {
    return !this.#settled;
  }

  /** Asks the work to stop; it may end with `reason`. */
  abort(reason: Error): void {
    this.#abort.abort(reason);
  }

  /** The outcome, or the signal's reason if that comes first. */
  join(signal?: AbortSignal): Promise<T> {
    return signal === undefined ? this.#promise : abortable(this.#promise, signal);
  }

  /** Resolves when the work has ended, however. */
  async settled(): Promise<void> {
    await this.#promise.catch(() => undefined);
  }
}

/** Wakes all who wait, each time something changes. */
export class Broadcast {
  #next = Promise.withResolvers<void>();

  notify(): void {
    const current = this.#next;
    this.#next = Promise.withResolvers<void>();
    current.resolve();
  }

  /** What `look` finds, looking now and after each notification. Rejects when aborted. */
  async until<T>(look: () => T | undefined, signal: AbortSignal): Promise<T> {
    for (;;) {
      const changed = this.#next.promise;
      const found = look();
      if (found !== undefined) return found;
      await abortable(changed, signal);
    }
  }
}
