import type { Node } from "./node.ts";

/** One thing that is tried with the real peers. */
export interface Case {
  /** A sentence of behaviour. */
  readonly name: string;
  /** Resolves to what was seen, for the table; throws when it is not what must hold. */
  readonly run: (node: Node) => Promise<string>;
}

/** Throws with `message` unless `condition` holds. */
export function check(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new Error(message());
}

/** Throws unless both are the same. */
export function same<T>(what: string, seen: T, expected: T): void {
  check(seen === expected, () => `${what} is ${JSON.stringify(seen)}, not ${JSON.stringify(expected)}`);
}

/** Rejects when `promise` takes longer than `timeoutMs`. */
export async function within<T>(timeoutMs: number, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`not done within ${timeoutMs / 1000} s`)), timeoutMs);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
