import { describeError, isCaaError } from "../../errors/index.ts";
import type { Clock, Log } from "../../platform/index.ts";

/** Compares what is with what should be, and does what is missing. Gives the pause to its next run in any case, milliseconds. */
export type Reconcile = (signal: AbortSignal) => Promise<number | undefined>;

const FIRST_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 30_000;
/** Rights and CRDs do not come within seconds. */
const MISSING_PAUSE_MS = 60_000;

/**
 * Runs one reconciliation at a time: whenever it is poked, when its pause is over, and again with growing pauses while it fails.
 * A failure is logged when it is another than before.
 */
export class ReconcileLoop {
  readonly #deps: { readonly clock: Clock; readonly log: Log };
  /** For the log: `the capacity of node worker-1`. */
  readonly #what: string;
  readonly #work: Reconcile;
  #isPoked = true;
  #wake: () => void = () => undefined;
  #failures = 0;
  #trouble: string | undefined;

  constructor(deps: { readonly clock: Clock; readonly log: Log }, what: string, work: Reconcile) {
    this.#deps = deps;
    this.#what = what;
    this.#work = work;
  }

  /** Why it does not succeed now. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  poke(): void {
    this.#isPoked = true;
    this.#wake();
  }

  /** Until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#isPoked = false;
      let pauseMs: number | undefined;
      try {
        pauseMs = await this.#work(signal);
        this.#works();
      } catch (error) {
        if (signal.aborted) return;
        await this.#rest(this.#failed(error), signal);
        continue;
      }
      if (!this.#isPoked) await this.#untilPoked(pauseMs, signal);
    }
  }

  #works(): void {
    const wasTrouble = this.#trouble !== undefined;
    this.#trouble = undefined;
    this.#failures = 0;
    if (wasTrouble) this.#deps.log.info(`${this.#what}: right again`);
  }

  #failed(error: unknown): number {
    const text = describeError(error);
    if (text !== this.#trouble) {
      this.#trouble = text;
      this.#deps.log.warn(`${this.#what}: could not be put right; it is tried again`, { error: text });
    }
    const growingMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.#failures++, 10));
    const pauseMs = isCaaError(error, "unauthorised", "not-found") ? MISSING_PAUSE_MS : growingMs;
    return Math.max(isCaaError(error) ? (error.retryAfterMs ?? 0) : 0, pauseMs);
  }

  /** Pokes do not shorten it: what fails is not asked more often because more happens. */
  async #rest(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#deps.clock.sleep(ms, signal);
    } catch {
      // Only the signal ends a sleep early; the loop sees it.
    }
  }

  async #untilPoked(ms: number | undefined, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const cancel = ms === undefined ? undefined : this.#deps.clock.schedule(ms, resolve);
    const onAbort = (): void => resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    if (!signal.aborted) await promise;
    // The signal lives as long as the process, and a loop may turn every few seconds.
    signal.removeEventListener("abort", onAbort);
    cancel?.();
  }
}
