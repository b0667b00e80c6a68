import { type Clock, systemClock } from "../../src/platform/index.ts";

/** Pauses pass at once, so that only what sockets and files do takes time; deadlines are real. */
export const eagerClock: Clock = {
  ...systemClock,
  sleep: async (_ms, signal) => {
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
  },
};
