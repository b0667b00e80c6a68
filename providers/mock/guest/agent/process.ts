import { readFile } from "node:fs/promises";
import type { Writable } from "node:stream";
import { internal, unavailable } from "../../../../src/errors/index.ts";
import { sendSignal } from "./runc.ts";
import type { LaunchedProcess } from "./runtime.ts";

const SIGTERM = 15;
const SIGKILL = 9;
const SIGNAL_BASE = 128;

/** One process of a container, from before its start to its reaping. Calls on its streams pend until it runs. */
export class AgentProcess {
  readonly id: string;
  readonly isInit: boolean;
  readonly terminal: boolean;
  readonly #launched: PromiseWithResolvers<LaunchedProcess> = Promise.withResolvers();
  readonly #exited: PromiseWithResolvers<number> = Promise.withResolvers();
  #running: LaunchedProcess | undefined;
  #stdinClosed = false;
  #ended = false;

  constructor(id: string, kind: { readonly isInit: boolean; readonly terminal: boolean }) {
    this.id = id;
    this.isInit = kind.isInit;
    this.terminal = kind.terminal;
    this.#launched.promise.catch(() => {
      // Whoever waits on a stream or for the start is told; nobody may be waiting.
    });
  }

  /** The exit code, or 128 + signal. */
  get exited(): Promise<number> {
    return this.#exited.promise;
  }

  /** As the VM sees it; undefined before the start. */
  get pid(): number | undefined {
    return this.#running?.pid;
  }

  /** Runs it. `beforeExit` is awaited between its end and the answer to those who wait for it. */
  async start(launching: Promise<LaunchedProcess>, beforeExit: () => Promise<void>): Promise<void> {
    try {
      const running = await launching;
      this.#running = running;
      this.#launched.resolve(running);
      void running.exited.then(async (code) => {
        this.#ended = true;
        await beforeExit();
        this.#exited.resolve(code);
      });
    } catch (error) {
      this.#launched.reject(error);
      throw error;
    }
  }

  async readStdout(length: number): Promise<Buffer> {
    return (await this.#launched.promise).stdout.read(length);
  }

  async readStderr(length: number): Promise<Buffer> {
    return (await this.#launched.promise).stderr.read(length);
  }

  /** Resolves when the process's side has taken it: a process that does not read holds its writer. */
  async write(data: Buffer): Promise<void> {
    const { stdin } = await this.#launched.promise;
    if (this.#stdinClosed || stdin.destroyed) throw internal("cannot get writer");
    await writeAll(stdin, data);
  }

  closeStdin(): void {
    if (this.#stdinClosed) return;
    this.#stdinClosed = true;
    this.#launched.promise.then(
      ({ stdin }) => stdin.end(),
      () => {
        // It never ran: there is nothing to close.
      },
    );
  }

  async resize(rows: number, columns: number): Promise<void> {
    if (!this.terminal) throw unavailable('"no tty"');
    await (await this.#launched.promise).resize(rows, columns);
  }

  /** A first process that has no handler for SIGTERM would ignore it, as process 1: it gets SIGKILL, as in the real agent. */
  async signal(signal: number): Promise<void> {
    const pid = this.pid;
    // Its number may belong to another process by now.
    if (this.#ended) return;
    if (pid === undefined) {
      if (signal === SIGKILL) this.#exited.resolve(SIGNAL_BASE + SIGKILL);
      return;
    }
    const kills = this.isInit && signal === SIGTERM && !(await handles(pid, signal));
    sendSignal(pid, kills ? SIGKILL : signal);
  }

  /** Lets go of its streams; pending reads get the end. */
  release(): void {
    this.#running?.stdin.destroy();
    this.#running?.stdout.discard();
    this.#running?.stderr.discard();
    this.#launched.reject(internal("the process has ended"));
  }
}

function writeAll(stdin: Writable, data: Buffer): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  stdin.write(data, (error) => (error ? reject(internal(`cannot write: ${error.message}`)) : resolve()));
  return promise;
}

/** Whether a process blocks, ignores or catches a signal (/proc/<pid>/status). */
async function handles(pid: number, signal: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const bit = 1n << BigInt(signal - 1);
  return [...status.matchAll(/^Sig(?:Blk|Ign|Cgt):\s*([\da-f]+)$/gm)].some(
    ([, mask]) => (BigInt(`0x${mask ?? "0"}`) & bit) !== 0n,
  );
}
