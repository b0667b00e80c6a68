import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { encodeFrame, encodeHeader, FrameType, MAX_DATA_BYTES } from "../../src/ttrpc/index.ts";

/** Pseudo-random numbers from a seed (mulberry32): a failing run can be run again. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** A whole number from 0 to below `limit`. */
  below(limit: number): number {
    return this.next() % limit;
  }

  chance(probability: number): boolean {
    return this.next() / 2 ** 32 < probability;
  }

  pick<T>(list: readonly T[]): T {
    const item = list[this.below(list.length)];
    if (item === undefined) throw new Error("pick from an empty list");
    return item;
  }
}

/** A frame to mutate: what a good peer sent, or what fast-check made up. */
export interface SeedFrame {
  readonly type: number;
  readonly data: Buffer;
}

/** All recorded frames, and as many made by fast-check from `seed`. */
export function readCorpus(seed: number): { requests: SeedFrame[]; responses: SeedFrame[] } {
  const folder = new URL("../fixtures/traces/", import.meta.url);
  const recorded: SeedFrame[] = [];
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".jsonl"))) {
    for (const line of readFileSync(new URL(file, folder), "utf8").trim().split("\n")) {
      const { type, payload } = JSON.parse(line);
      if (payload !== undefined) recorded.push({ type, data: Buffer.from(payload, "hex") });
    }
  }
  const made = fc.sample(fc.uint8Array({ maxLength: 400 }), { numRuns: recorded.length, seed });
  const requests = recorded.filter(({ type }) => type === FrameType.Request);
  const responses = recorded.filter(({ type }) => type === FrameType.Response);
  for (const [i, bytes] of made.entries()) {
    const data = Buffer.from(bytes);
    if (i % 2 === 0) requests.push({ type: FrameType.Request, data });
    else responses.push({ type: FrameType.Response, data });
  }
  return { requests, responses };
}

/** A frame whose data, and at times id, type or flags, are not what a good peer would send. Its length is true. */
export function mutatedFrame(random: Random, corpus: readonly SeedFrame[], nextStreamId: number): Buffer {
  const { type, data } = random.pick(corpus);
  return encodeFrame({
    streamId: random.chance(0.1) ? oddStreamId(random, nextStreamId) : nextStreamId,
    type: random.chance(0.05) ? random.below(256) : type,
    flags: random.chance(0.05) ? random.below(256) : 0,
    data: mutatedData(random, data, corpus),
  });
}

function oddStreamId(random: Random, nextStreamId: number): number {
  if (random.chance(0.5)) return nextStreamId + 1;
  return random.chance(0.5) ? 0 : random.below(nextStreamId + 1);
}

function mutatedData(random: Random, data: Buffer, corpus: readonly SeedFrame[]): Buffer {
  const copy = Buffer.from(data);
  switch (random.below(7)) {
    case 0: // some bytes changed, often in a tag or a length
      for (let i = random.below(4); i >= 0 && copy.length > 0; i--)
        copy[random.below(Math.min(copy.length, random.chance(0.5) ? 40 : copy.length))] = random.below(256);
      return copy;
    case 1: // one bit
      if (copy.length > 0) {
        const at = random.below(copy.length);
        copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
      }
      return copy;
    case 2: // cut
      return copy.subarray(0, random.below(copy.length + 1));
    case 3: {
      // two spliced
      const other = random.pick(corpus).data;
      return Buffer.concat([
        copy.subarray(0, random.below(copy.length + 1)),
        other.subarray(random.below(other.length + 1)),
      ]);
    }
    case 4: // a part repeated
      return Buffer.concat([copy, copy.subarray(random.below(copy.length + 1))]);
    case 5: {
      // a varint blown up
      const at = random.below(copy.length + 1);
      return Buffer.concat([
        copy.subarray(0, at),
        Buffer.alloc(1 + random.below(11), 0xff),
        copy.subarray(at),
      ]);
    }
    default: // as it was: valid calls in between keep the other side busy
      return copy;
  }
}

/** Bytes that put a reader out of step: headers that lie about their length, up to 4 GiB, and pieces of frames. */
export function brokenTail(random: Random, corpus: readonly SeedFrame[]): Buffer {
  const { data } = random.pick(corpus);
  const lengths = [data.length + 1, random.next(), MAX_DATA_BYTES, MAX_DATA_BYTES + 1, 2 ** 31, 2 ** 32 - 1];
  const header = encodeHeader({
    length: random.pick(lengths),
    streamId: random.next(),
    type: random.below(4),
    flags: 0,
  });
  if (random.chance(0.2)) return header.subarray(0, 1 + random.below(header.length - 1));
  return Buffer.concat([header, data.subarray(0, random.below(data.length + 1))]);
}

/** `bytes` in pieces of random sizes. */
export function* inPieces(random: Random, bytes: Buffer): Generator<Buffer> {
  const largest = random.pick([16, 300, 5000, 65_536]);
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + random.below(largest);
    yield bytes.subarray(at, at + size);
    at += size;
  }
}
