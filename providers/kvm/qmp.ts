import type { Duplex } from "node:stream";
import * as v from "valibot";
import { unavailable } from "../../src/errors/index.ts";

const Message = v.object({
  QMP: v.optional(v.unknown()),
  return: v.optional(v.unknown()),
  error: v.optional(v.object({ desc: v.string() })),
  event: v.optional(v.string()),
});
type Message = v.InferOutput<typeof Message>;

const Status = v.object({ status: v.string() });
const MAX_LINE_BYTES = 1024 * 1024;

/** QEMU's monitor (QEMU: docs/interop/qmp-spec.rst) over one connection: one command at a time. */
export class Qmp implements AsyncDisposable {
  readonly #stream: Duplex;
  readonly #lines: AsyncIterator<string>;

  private constructor(stream: Duplex) {
    this.#stream = stream;
    this.#lines = linesOf(stream);
  }

  /** Reads QEMU's greeting and leaves negotiation. */
  static async open(stream: Duplex): Promise<Qmp> {
    const qmp = new Qmp(stream);
    try {
      const { QMP } = await qmp.#next();
      if (QMP === undefined) throw unavailable("what answers on the QMP socket is not QEMU");
      await qmp.execute("qmp_capabilities");
      return qmp;
    } catch (error) {
      stream.destroy();
      throw error;
    }
  }

  /** Resolves to the answer; throws `unavailable` when QEMU refuses or is gone. */
  async execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    this.#stream.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    for (;;) {
      const message = await this.#next();
      if (message.error) throw unavailable(`QEMU refuses ${command}: ${message.error.desc}`);
      if (message.event === undefined) return message.return;
    }
  }

  /** QEMU's run state: `running`, `paused`, `io-error`, `guest-panicked` ... */
  async status(): Promise<string> {
    return v.parse(Status, await this.execute("query-status")).status;
  }

  /** Resolves when QEMU has closed the connection, which it does as it ends. What it says until then is passed over. */
  async untilEnded(): Promise<void> {
    try {
      while ((await this.#lines.next()).done !== true);
    } catch (error) {
      const wasReset = error instanceof Error && "code" in error && error.code === "ECONNRESET";
      if (!wasReset) throw error;
    }
  }

  async #next(): Promise<Message> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw unavailable("QEMU closed its monitor");
    return v.parse(Message, JSON.parse(value));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stream.destroy();
  }
}

async function* linesOf(stream: Duplex): AsyncGenerator<string, void> {
  let text = "";
  for await (const chunk of stream) {
    text += String(chunk);
    if (text.length > MAX_LINE_BYTES) throw unavailable("QEMU's monitor sends a line without an end");
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") yield line;
  }
}
