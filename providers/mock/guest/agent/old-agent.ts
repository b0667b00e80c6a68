/** The first version whose GetOOMEvent may be asked twice (kata-containers 7807aa3d62). */
const FIXED_IN = [3, 32] as const;

/** Whether an agent of this version deadlocks when GetOOMEvent is asked while another one pends. */
export function deadlocksOnOomEvents(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major < FIXED_IN[0] || (major === FIXED_IN[0] && minor < FIXED_IN[1]);
}

/** A lock that is given to those who ask in their order. */
export class Mutex {
  #tail: Promise<void> = Promise.resolve();

  /** Resolves to the release when it is ours. */
  async acquire(): Promise<() => void> {
    const before = this.#tail;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tail = promise;
    await before;
    return resolve;
  }
}
