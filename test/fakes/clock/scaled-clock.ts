import { type Clock, systemClock } from "../../../src/platform/index.ts";

/** Real time, but waits last `factor` times less: for tests over real sockets in which something polls every few seconds. */
export function scaledClock(factor: number): Clock {
  return {
    wallMs: () => systemClock.wallMs(),
    monotonicMs: () => systemClock.monotonicMs() * factor,
    sleep: (ms, signal) => systemClock.sleep(ms / factor, signal),
    timeout: (ms) => systemClock.timeout(ms / factor),
    schedule: (ms, fn) => systemClock.schedule(ms / factor, fn),
  };
}
