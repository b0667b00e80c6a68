/** A value that changes while the process runs: read it at each use, or be told. */
export interface Live<T> {
  current(): T;
  /** Calls `fn` after each change; returns what ends that. */
  onChange(fn: () => void): () => void;
}

/** The one who changes it. */
export class LiveValue<T> implements Live<T> {
  #value: T;
  readonly #listeners = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  current(): T {
    return this.#value;
  }

  set(value: T): void {
    this.#value = value;
    for (const fn of [...this.#listeners]) fn();
  }

  onChange(fn: () => void): () => void {
    const listener = (): void => fn();
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
