import { cancelled, isCaaError } from "../../src/errors/index.ts";
import type { Clock } from "../../src/platform/index.ts";
import { classifyError } from "./classify.ts";

/** How the state of things is read: one at a time, or all in one call (or a few pages). */
export interface PollSource<T> {
  one(key: string, signal: AbortSignal): Promise<T | undefined>;
  all(signal: AbortSignal): Promise<ReadonlyMap<string, T>>;
  /** How many calls the last `all` took: a list of a whole fleet has many pages. Absent: one. */
  listCost?(): number;
}

export interface SharedPollOptions {
  readonly intervalMs: number;
  /** From this many waiters on, a list replaces the single reads, unless it takes more calls than they do. */
  readonly listFrom: number;
  /** Rounds that may fail in a row, with an error worth a retry other than `throttled`, before the waiters are told. */
  readonly failures: number;
}

/** How long rounds may go on to be refused as too many before those who wait are told. */
const THROTTLED_MS = 300_000;

interface Waiter<T> {
  readonly key: string;
  readonly done: (value: T | undefined) => boolean;
  readonly resolve: (value: T | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/** Everyone who waits for something in the cloud waits here, so that a hundred pods cost one list per round, not a hundred reads. */
export class SharedPoll<T> {
  readonly #clock: Clock;
  readonly #source: PollSource<T>;
  readonly #options: SharedPollOptions;
  readonly #waiters = new Set<Waiter<T>>();
  #failures = 0;
  #throttledSinceMs: number | undefined;
  #stop: AbortController | undefined;

  constructor(clock: Clock, source: PollSource<T>, options: SharedPollOptions) {
    this.#clock = clock;
    this.#source = source;
    this.#options = options;
  }

  /**
   * Resolves with the first state of `key` for which `done` holds (undefined: there is no such thing), looked at every
   * interval. Rejects with the source's error when that is not worth a retry or repeats, `cancelled` when aborted.
   */
  wait(key: string, done: (value: T | undefined) => boolean, signal: AbortSignal): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const fail = (): void => {
        this.#leave(waiter);
        reject(cancelled(`the caller gave up waiting for ${key}`, { cause: signal.reason }));
      };
      const waiter: Waiter<T> = {
        key,
        done,
        resolve: (value) => {
          signal.removeEventListener("abort", fail);
          resolve(value);
        },
        reject: (error) => {
          signal.removeEventListener("abort", fail);
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      };
      if (signal.aborted) {
        fail();
        return;
      }
      signal.addEventListener("abort", fail, { once: true });
      this.#waiters.add(waiter);
      if (!this.#stop) void this.#run();
    });
  }

  #leave(waiter: Waiter<T>): void {
    this.#waiters.delete(waiter);
    if (this.#waiters.size === 0) this.#stop?.abort();
  }

  async #run(): Promise<void> {
    while (this.#waiters.size > 0) {
      const stop = new AbortController();
      this.#stop = stop;
      try {
        await this.#clock.sleep(this.#options.intervalMs, stop.signal);
        await this.#round(stop.signal);
        this.#failures = 0;
        this.#throttledSinceMs = undefined;
      } catch (error) {
        // An abort here means that nobody waits any more: the loop's condition ends it.
        if (!stop.signal.aborted) this.#failed(error);
      }
    }
    this.#stop = undefined;
  }

  async #round(signal: AbortSignal): Promise<void> {
    const keys = [...new Set([...this.#waiters].map((waiter) => waiter.key))];
    const states =
      keys.length >= Math.max(this.#options.listFrom, this.#source.listCost?.() ?? 1)
        ? await this.#source.all(signal)
        : new Map(
            await Promise.all(
              keys.map(
                async (key): Promise<[string, T | undefined]> => [key, await this.#source.one(key, signal)],
              ),
            ),
          );
    for (const waiter of this.#waiters) {
      if (!keys.includes(waiter.key)) continue;
      const value = states.get(waiter.key);
      if (!waiter.done(value)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(value);
    }
  }

  /** Being told to slow down says nothing of what is waited for, unless it goes on and on. */
  #isPatient(): boolean {
    const nowMs = this.#clock.monotonicMs();
    this.#throttledSinceMs ??= nowMs;
    return nowMs - this.#throttledSinceMs < THROTTLED_MS;
  }

  #failed(error: unknown): void {
    if (isCaaError(error, "throttled") && this.#isPatient()) return;
    this.#failures += 1;
    if (classifyError(error) === "retry" && this.#failures < this.#options.failures) return;
    this.#failures = 0;
    this.#throttledSinceMs = undefined;
    for (const waiter of this.#waiters) waiter.reject(error);
    this.#waiters.clear();
  }
}
