import type { Frame } from "./frame.ts";
import type { FrameDecoder } from "./frame-decoder.ts";

/** Bytes of a buffer that sockets read into when no large frame is under way. */
export const SCRATCH_BYTES: number = 64 * 1024;

/** What node:net's and node:tls' `connect` take as `onread`. */
export interface OnRead {
  readonly buffer: () => Buffer;
  readonly callback: (bytesRead: number, buffer: Uint8Array) => boolean;
}

interface Sink {
  readonly decoder: FrameDecoder;
  readonly onFrames: (frames: readonly Frame[]) => void;
}

/**
 * The reads of a socket that puts what comes in where it is told, made before the socket and given to the FrameConnection over it. Small
 * frames are read into a buffer that many sockets can share, as each read is used up before the next; the rest of a large frame is
 * read to where it stays. What comes before there is a connection waits, and stops the reading.
 */
export class DirectReads {
  readonly onread: OnRead;
  readonly #scratch: Buffer;
  readonly #early: Buffer[] = [];
  #sink: Sink | undefined;

  constructor(scratch: Buffer) {
    this.#scratch = scratch;
    this.onread = {
      buffer: () => this.#sink?.decoder.room ?? this.#scratch,
      callback: (bytes, buffer) => this.#onRead(bytes, buffer),
    };
  }

  /** From now on frames go there; `takeEarly` has to come before the reading goes on. */
  attach(sink: Sink): void {
    this.#sink = sink;
  }

  /** Hands on what came before `attach`. */
  takeEarly(): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    for (const chunk of this.#early.splice(0)) sink.onFrames(sink.decoder.push(chunk));
  }

  #onRead(bytes: number, buffer: Uint8Array): boolean {
    const sink = this.#sink;
    if (sink === undefined || this.#early.length > 0) {
      this.#early.push(Buffer.from(this.#scratch.subarray(0, bytes)));
      return false;
    }
    const { decoder } = sink;
    sink.onFrames(
      buffer === this.#scratch ? decoder.push(this.#scratch.subarray(0, bytes)) : decoder.filled(bytes),
    );
    return true;
  }
}
