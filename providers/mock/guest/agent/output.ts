import type { Readable } from "node:stream";

/** Most bytes that wait here for a reader; then the source is paused, and with it the process that writes. */
const MAX_BUFFERED_BYTES = 64 * 1024;

const EMPTY: Buffer = Buffer.alloc(0);

interface Reader {
  readonly length: number;
  readonly answer: (data: Buffer) => void;
}

/**
 * One output stream of a process, read as the agent's callers read it: a read pends until there is output, gets at most
 * what it asked for, and gets nothing only at the end. Reads are served in the order in which they were asked, also
 * those whose caller has gone: as with the real agent, an abandoned read swallows the next output.
 */
export class OutputStream {
  readonly #source: Readable | undefined;
  readonly #chunks: Buffer[] = [];
  readonly #readers: Reader[] = [];
  #buffered = 0;
  #ended: boolean;

  /** Without a source the stream is at its end: the stderr of a process with a terminal. */
  constructor(source: Readable | undefined) {
    this.#source = source;
    this.#ended = source === undefined;
    if (source === undefined) return;
    source.on("data", (chunk: Buffer) => this.#onData(chunk));
    source.on("close", () => this.end());
    source.on("end", () => this.end());
    source.on("error", () => this.end());
  }

  /** At most `length` bytes; empty means the end. */
  read(length: number): Promise<Buffer> {
    const { promise, resolve } = Promise.withResolvers<Buffer>();
    this.#readers.push({ length: Math.max(1, length), answer: resolve });
    this.#serve();
    return promise;
  }

  /** Nothing more will come: what is buffered can still be read. */
  end(): void {
    this.#ended = true;
    this.#serve();
  }

  /** Throws away what is buffered and lets go of the source. Pending reads get the end. */
  discard(): void {
    this.#chunks.length = 0;
    this.#buffered = 0;
    this.#source?.destroy();
    this.end();
  }

  #onData(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    if (this.#buffered >= MAX_BUFFERED_BYTES) this.#source?.pause();
    this.#serve();
  }

  #serve(): void {
    for (;;) {
      const reader = this.#readers[0];
      if (reader === undefined || (this.#buffered === 0 && !this.#ended)) return;
      this.#readers.shift();
      reader.answer(this.#take(reader.length));
      if (this.#buffered < MAX_BUFFERED_BYTES && this.#source?.isPaused() === true) this.#source.resume();
    }
  }

  #take(length: number): Buffer {
    const first = this.#chunks[0];
    if (first === undefined) return EMPTY;
    if (first.length >= length) {
      this.#chunks[0] = first.subarray(length);
      if (first.length === length) this.#chunks.shift();
      this.#buffered -= length;
      return first.subarray(0, length);
    }
    const all = Buffer.concat(this.#chunks);
    const taken = all.subarray(0, length);
    const rest = all.subarray(length);
    this.#chunks.length = 0;
    if (rest.length > 0) this.#chunks.push(rest);
    this.#buffered = rest.length;
    return taken;
  }
}
