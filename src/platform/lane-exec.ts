import { describeError, unavailable } from "../errors/index.ts";
import { CommandLane, type LaneCommand } from "./command-lane.ts";
import {
  type Exec,
  type ExecOptions,
  type ExecResult,
  findProgram,
  isExecutable,
  systemExec,
} from "./exec.ts";

/** Commands at once; more wait for one of these to end. More than there are cores: the kernel takes 30 ms to delete a device. */
const MAX_LANES = 8;

/** A shell collects its input line by line, which takes ever longer; more than this is faster given directly. */
const MAX_INPUT_BYTES = 32 * 1024;

/** The least exit status with which a shell says that it could not start a command; commands may end with it too. */
const CANNOT_START = 126;

/** What a lane's lines carry unchanged in every shell: ASCII, without line breaks inside an argument. */
const PLAIN_ARGUMENT = /^[\t\x20-\x7e]*$/;
const PLAIN_INPUT = /^(?:[\t\x20-\x7e]*\n)*$/;

/**
 * Runs commands as `systemExec` does, but has them started by small shells that stay: Node starts a process by fork(2), which
 * holds up all else for a time that grows with this process's memory (docs/design/011-command-lanes.md). The exit status of a
 * command that a signal has ended is 128 and the signal's number.
 */
export class LaneExec implements Exec, AsyncDisposable {
  readonly #lanes: Set<CommandLane> = new Set();
  #idle: CommandLane[] = [];
  #waiting: ((lane: CommandLane) => void)[] = [];
  readonly #paths: Map<string, string> = new Map();

  async run(argv: readonly [string, ...string[]], options: ExecOptions = {}): Promise<ExecResult> {
    const [file, ...args] = argv;
    const { signal, env, input = "" } = options;
    const isPlain = args.every((arg) => PLAIN_ARGUMENT.test(arg)) && PLAIN_INPUT.test(input);
    if (!isPlain || input.length > MAX_INPUT_BYTES || env !== undefined)
      return await systemExec.run(argv, options);
    try {
      const path = this.#pathOf(file);
      const result = await this.#runInLane({ words: [path, ...args], input }, signal);
      if (result.code >= CANNOT_START) this.#checkStill(file, path);
      return result;
    } catch (cause) {
      throw unavailable(`cannot run ${file}: ${describeError(cause)}`, { cause });
    }
  }

  /** Lets the shells end. What runs ends before; what is run later has new ones. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#lanes].map((lane) => lane.close()));
  }

  async #runInLane(command: LaneCommand, signal: AbortSignal | undefined): Promise<ExecResult> {
    const lane = await this.#takeLane(signal);
    const onAbort = (): void => lane.kill(describeError(signal?.reason));
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await lane.run(command);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#give(lane);
    }
  }

  async #takeLane(signal: AbortSignal | undefined): Promise<CommandLane> {
    signal?.throwIfAborted();
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    if (this.#lanes.size < MAX_LANES) return this.#newLane();
    const { promise, resolve, reject } = Promise.withResolvers<CommandLane>();
    const onAbort = (): void => {
      this.#waiting = this.#waiting.filter((waiting) => waiting !== resolve);
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#waiting.push(resolve);
    try {
      return await promise;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  #newLane(): CommandLane {
    const lane = new CommandLane(() => this.#onEnd(lane));
    this.#lanes.add(lane);
    return lane;
  }

  /** The lane is free, if it still is one. */
  #give(lane: CommandLane): void {
    if (!this.#lanes.has(lane)) return;
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(lane);
    else next(lane);
  }

  #onEnd(lane: CommandLane): void {
    this.#lanes.delete(lane);
    this.#idle = this.#idle.filter((idle) => idle !== lane);
    this.#waiting.shift()?.(this.#newLane());
  }

  /** Throws when it was the shell that spoke, since the program is not there any more. It is looked for again the next time. */
  #checkStill(file: string, path: string): void {
    if (isExecutable(path)) return;
    this.#paths.delete(file);
    throw unavailable(`${path} is not there any more, or may not be executed`);
  }

  /** As execvp finds it. A path, since a shell may know a builtin of the name. Throws when there is none. */
  #pathOf(file: string): string {
    const known = this.#paths.get(file);
    if (known !== undefined) return known;
    const path = file.includes("/") ? file : findProgram(file);
    if (path === undefined) throw unavailable(`there is no program of that name in PATH`);
    this.#paths.set(file, path);
    return path;
  }
}
