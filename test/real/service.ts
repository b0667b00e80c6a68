import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";

interface ServiceSpec {
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  readonly env?: Readonly<Record<string, string>>;
  readonly logFile: string;
  /** Polled after each start until it is true. */
  readonly ready: () => Promise<boolean>;
  readonly readyTimeoutMs?: number;
}

/** Polls `probe` until it answers something else than undefined and false. Throws naming `what` after `timeoutMs`. */
export async function until<T>(
  what: string,
  timeoutMs: number,
  probe: () => Promise<T | undefined | false>,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) throw new Error(`${what} did not happen within ${timeoutMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A process of the node that can be killed and started again; its output goes to a file. */
export class Service {
  readonly #spec: ServiceSpec;
  #child: ChildProcess | undefined;

  constructor(spec: ServiceSpec) {
    this.#spec = spec;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Starts the process and waits until it is ready. Throws when it ends before, or is not in time. */
  async start(): Promise<void> {
    const log = openSync(this.#spec.logFile, "a");
    const [file, ...args] = this.#spec.argv;
    const child = spawn(file, args, {
      stdio: ["ignore", log, log],
      env: { ...process.env, ...this.#spec.env },
    });
    closeSync(log);
    child.on("error", () => {
      // Seen below as a process that does not run.
    });
    this.#child = child;
    await until(`${this.#spec.name} ready`, this.#spec.readyTimeoutMs ?? 20_000, async () => {
      if (child.pid === undefined || !this.running)
        throw new Error(`${this.#spec.name} ended at start (${child.exitCode ?? child.signalCode})`);
      return this.#spec.ready();
    });
  }

  /** Sends a signal and waits for the end of the process. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.running) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }
}
