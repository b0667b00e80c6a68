/** The time that this library needs, as an argument, so that tests own it. */
export interface TtrpcClock {
  /** Milliseconds since some start; never goes back. */
  monotonicMs(): number;
  /** Calls `fn` once after `ms` unless the returned function is called first. */
  schedule(ms: number, fn: () => void): () => void;
}

/** The machine's clock. Its timers do not keep the process alive. */
export const nodeClock: TtrpcClock = {
  monotonicMs: () => performance.now(),
  schedule(ms, fn) {
    const timer = setTimeout(fn, ms).unref();
    return () => clearTimeout(timer);
  },
};

/** The longest delay that a Node timer takes; longer ones would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Calls `fn` once when `clock` reaches `atMs`, however far away that is, unless the returned function is called first. */
export function scheduleAt(clock: TtrpcClock, atMs: number, fn: () => void): () => void {
  let cancel: () => void;
  const arm = (): void => {
    const leftMs = atMs - clock.monotonicMs();
    if (leftMs > MAX_TIMER_MS) cancel = clock.schedule(MAX_TIMER_MS, arm);
    else cancel = clock.schedule(Math.max(0, Math.ceil(leftMs)), fn);
  };
  arm();
  return () => cancel();
}
