/** Bytes of console kept for each VM. */
export const CONSOLE_BYTES: number = 256 * 1024;

/** The newest bytes of an output, bounded. */
export class ConsoleBuffer {
  readonly #limitBytes: number;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(limitBytes: number = CONSOLE_BYTES) {
    this.#limitBytes = limitBytes;
  }

  write(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    // Joined only at twice the limit, so that many small writes cost little.
    if (this.#bytes > 2 * this.#limitBytes || this.#chunks.length > 4096) this.#trim();
  }

  /** The newest text; a character cut by the bound shows as U+FFFD. */
  text(): string {
    this.#trim();
    return Buffer.concat(this.#chunks).toString();
  }

  #trim(): void {
    const all = Buffer.concat(this.#chunks);
    const kept =
      all.length > this.#limitBytes ? Buffer.from(all.subarray(all.length - this.#limitBytes)) : all;
    this.#chunks = [kept];
    this.#bytes = kept.length;
  }
}
