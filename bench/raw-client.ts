import type { Duplex } from "node:stream";
import { decodeResponse, encodeRequest, FrameType, HEADER_BYTES } from "../src/ttrpc/index.ts";

/** A request that is sent again and again: only its stream id changes. */
export interface RepeatedRequest {
  readonly name: string;
  /** The envelope, encoded once. */
  readonly data: Buffer;
}

/** Encodes a request for `RawClient`. */
export function repeatedRequest(service: string, method: string, payload: Uint8Array): RepeatedRequest {
  const data = encodeRequest({ service, method, payload, timeoutNano: 60_000_000_000n, metadata: [] });
  return { name: `${service}/${method}`, data };
}

/** How a drive ends: after so many calls, or after so long. */
export type Until = { readonly calls: number } | { readonly ms: number };

/** What a drive measured. */
export interface Drive {
  readonly calls: number;
  readonly elapsedMs: number;
  /** Of each call, milliseconds; in the order of the answers. */
  readonly latenciesMs: readonly number[];
}

/** Up to this size header and data are sent as one buffer. */
const SMALL_BYTES = 4096;

/**
 * A ttrpc client that does as little as can be done: what it measures is the other side, and it stays the same when src/ttrpc
 * changes. One drive at a time; the connection is its own.
 */
export class RawClient implements Disposable {
  readonly #stream: Duplex;
  #nextId = 1;
  #rest: Buffer = Buffer.alloc(0);
  #onAnswer: (streamId: number, data: Buffer) => void = () => undefined;
  #onEnd: (error: Error) => void = () => undefined;

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on("data", (chunk: Buffer) => this.#read(chunk));
    stream.on("error", (error) => this.#onEnd(error));
    stream.on("close", () =>
      this.#onEnd(new Error("the connection was closed in the middle of a measurement")),
    );
  }

  /** Keeps `inFlight` calls unanswered until the end, then lets the last answers in. Rejects when a call fails. */
  drive(request: RepeatedRequest, inFlight: number, until: Until): Promise<Drive> {
    return new Promise((resolve, reject) => {
      const startedMs = performance.now();
      const sentMs = new Map<number, number>();
      const latenciesMs: number[] = [];
      let begun = 0;
      const more = (nowMs: number): boolean =>
        "calls" in until ? begun < until.calls : nowMs - startedMs < until.ms;
      const send = (): void => {
        begun++;
        sentMs.set(this.#nextId, performance.now());
        this.#write(request);
      };
      this.#onEnd = reject;
      this.#onAnswer = (streamId, data) => {
        const nowMs = performance.now();
        const sent = sentMs.get(streamId);
        const problem =
          sent === undefined ? `an answer to call ${streamId}, which was not made` : failure(data);
        if (problem !== undefined) return reject(new Error(`${request.name}: ${problem}`));
        sentMs.delete(streamId);
        latenciesMs.push(nowMs - (sent ?? nowMs));
        if (more(nowMs)) send();
        else if (sentMs.size === 0) {
          this.#onAnswer = () => undefined;
          resolve({ calls: latenciesMs.length, elapsedMs: nowMs - startedMs, latenciesMs });
        }
      };
      this.#stream.cork();
      while (begun < inFlight && more(startedMs)) send();
      this.#stream.uncork();
    });
  }

  [Symbol.dispose](): void {
    this.#onEnd = () => undefined;
    this.#stream.destroy();
  }

  #write({ data }: RepeatedRequest): void {
    const small = data.length <= SMALL_BYTES;
    const frame = Buffer.allocUnsafe(small ? HEADER_BYTES + data.length : HEADER_BYTES);
    frame.writeUInt32BE(data.length, 0);
    frame.writeUInt32BE(this.#nextId, 4);
    frame[8] = FrameType.Request;
    frame[9] = 0;
    this.#nextId += 2;
    if (small) {
      data.copy(frame, HEADER_BYTES);
      this.#stream.write(frame);
      return;
    }
    this.#stream.cork();
    this.#stream.write(frame);
    this.#stream.write(data);
    this.#stream.uncork();
  }

  #read(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    // The next requests of all answers in this chunk leave together, as those of many callers would.
    this.#stream.cork();
    while (bytes.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + bytes.readUInt32BE(0);
      if (bytes.length < end) break;
      this.#onAnswer(bytes.readUInt32BE(4), bytes.subarray(HEADER_BYTES, end));
      bytes = bytes.subarray(end);
    }
    this.#stream.uncork();
    this.#rest = bytes;
  }
}

/** What a response says went wrong. A response that begins with its payload has no status and is fine. */
function failure(data: Buffer): string | undefined {
  const STATUS_TAG = 0x0a;
  if (data[0] !== STATUS_TAG) return undefined;
  const { status } = decodeResponse(data);
  return status === undefined || status.code === 0
    ? undefined
    : `answered with status ${status.code}: ${status.message}`;
}
