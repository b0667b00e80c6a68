/** The value below which the part `q` (0 to 1) of the values lies; NaN of none. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

/** The middle value; of an even number the mean of the two in the middle; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Values of some contestants, taken in turns so that a disturbance of the machine hits all of them. */
export async function interleave<Name extends string, T>(
  rounds: number,
  contestants: ReadonlyMap<Name, () => Promise<T>>,
): Promise<ReadonlyMap<Name, readonly T[]>> {
  const results = new Map<Name, T[]>([...contestants.keys()].map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    // Every second round in the opposite order: who comes first has no lasting advantage.
    const order = round % 2 === 0 ? [...contestants] : [...contestants].reverse();
    for (const [name, measure] of order) results.get(name)?.push(await measure());
  }
  return results;
}
