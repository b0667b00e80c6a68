import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { Socket } from "node:net";
import { unavailable } from "../errors/index.ts";
import { type ExecResult, MAX_OUTPUT_BYTES } from "./exec.ts";

/**
 * What the shell of a lane does until the end of its input. A request is a line with a token and two counts, then that many
 * arguments and lines of input. Arguments stay what they are: they are read, never evaluated, and the command is a path, so it
 * cannot be a builtin. After the command, the token on both streams tells that all of its output was before.
 */
const LANE_SCRIPT = `
while IFS=' ' read -r token words lines; do
  set --
  while [ "$words" -gt 0 ]; do
    IFS= read -r line || exit
    set -- "$@" "$line"
    words=$((words - 1))
  done
  input=
  while [ "$lines" -gt 0 ]; do
    IFS= read -r line || exit
    input="$input$line
"
    lines=$((lines - 1))
  done
  if [ -n "$input" ]; then printf %s "$input" | "$@"; else "$@" </dev/null; fi
  printf '%s %s\\n' "$token" $?
  printf '%s 0\\n' "$token" >&2
done
`;

/** A command that a lane can run. */
export interface LaneCommand {
  /** The first is an absolute path. None has a line break. */
  readonly words: readonly [string, ...string[]];
  /** "" or whole lines. */
  readonly input: string;
}

/** What was printed on one stream so far. */
class Printed {
  readonly #end: RegExp;
  readonly #chunks: Buffer[] = [];
  /** Long enough for the line that ends the output. */
  #tail = "";
  /** The number on that line, once it has come. */
  code: number | undefined;
  bytes = 0;

  constructor(token: string) {
    this.#end = new RegExp(`${token} (\\d{1,3})\\n$`);
  }

  add(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.bytes += chunk.length;
    this.#tail = `${this.#tail}${chunk.subarray(-TAIL_BYTES).toString("latin1")}`.slice(-TAIL_BYTES);
    const code = this.#end.exec(this.#tail)?.[1];
    if (code !== undefined) this.code = Number(code);
  }

  /** Without the line that ends it. */
  get text(): string {
    const endBytes = this.#end.exec(this.#tail)?.[0].length ?? 0;
    return Buffer.concat(this.#chunks)
      .subarray(0, this.bytes - endBytes)
      .toString();
  }
}

const TOKEN_BYTES = 16;
/** The token in hexadecimal, a blank, a code of up to three digits, a line break. */
const TAIL_BYTES = TOKEN_BYTES * 2 + 5;

interface Running {
  readonly stdout: Printed;
  readonly stderr: Printed;
  readonly resolve: (result: ExecResult) => void;
  readonly reject: (reason: unknown) => void;
}

/** One shell that starts commands for us, one after another. It ends with its input, so also when this process is killed. */
export class CommandLane {
  readonly #shell: ChildProcessWithoutNullStreams;
  readonly #onEnd: () => void;
  #running: Running | undefined;
  #ended = false;
  #reason = "the shell that started it has ended";

  /** `onEnd` is called once, when the lane can run no more. */
  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
    // A process group of its own, so that the shell and its command can be ended together.
    this.#shell = spawn("/bin/sh", ["-c", LANE_SCRIPT], { stdio: ["pipe", "pipe", "pipe"], detached: true });
    this.#shell.stdout.on("data", (chunk: Buffer) => this.#onOutput("stdout", chunk));
    this.#shell.stderr.on("data", (chunk: Buffer) => this.#onOutput("stderr", chunk));
    this.#shell.stdin.on("error", () => {
      // The shell has ended, which is seen as such.
    });
    this.#shell.on("error", (cause) => this.#end(`/bin/sh cannot be started: ${cause.message}`));
    this.#shell.on("exit", () => this.#end(this.#reason));
    this.#hold("unref");
  }

  /** One at a time. Rejects (`unavailable`) when the lane ends before the command. */
  run({ words, input }: LaneCommand): Promise<ExecResult> {
    const { promise, resolve, reject } = Promise.withResolvers<ExecResult>();
    const token = randomBytes(TOKEN_BYTES).toString("hex");
    const lines = input.split("\n").length - 1;
    this.#running = { stdout: new Printed(token), stderr: new Printed(token), resolve, reject };
    this.#hold("ref");
    if (this.#ended) this.#fail();
    else this.#shell.stdin.write(`${token} ${words.length} ${lines}\n${words.join("\n")}\n${input}`);
    return promise;
  }

  /** Ends the shell and the command that it runs, which fails for this reason. */
  kill(reason: string): void {
    this.#reason = reason;
    this.#killGroup();
  }

  /** Lets an idle shell end. Resolves when it has. */
  async close(): Promise<void> {
    if (this.#ended) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#shell.once("exit", () => resolve());
    this.#hold("ref");
    this.#shell.stdin.end();
    await promise;
  }

  /** An idle shell does not keep this process from its end. */
  #hold(how: "ref" | "unref"): void {
    const { stdin, stdout, stderr } = this.#shell;
    this.#shell[how]();
    for (const stream of [stdin, stdout, stderr]) if (stream instanceof Socket) stream[how]();
  }

  #onOutput(stream: "stdout" | "stderr", chunk: Buffer): void {
    const running = this.#running;
    if (running === undefined) {
      this.kill("an earlier command has left a process that prints");
      return;
    }
    running[stream].add(chunk);
    const { stdout, stderr } = running;
    if (stdout.bytes + stderr.bytes > MAX_OUTPUT_BYTES) {
      this.kill("it printed too much");
      return;
    }
    if (stdout.code === undefined || stderr.code === undefined) return;
    this.#running = undefined;
    this.#hold("unref");
    running.resolve({ code: stdout.code, stdout: stdout.text, stderr: stderr.text });
  }

  #end(reason: string): void {
    if (this.#ended) return;
    this.#reason = reason;
    // Where somebody has killed the shell alone, its command must not go on unseen.
    if (this.#running !== undefined) this.#killGroup();
    this.#ended = true;
    this.#fail();
    this.#onEnd();
  }

  #killGroup(): void {
    const { pid } = this.#shell;
    if (pid === undefined || this.#ended) return;
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // Nothing of the group is left.
    }
  }

  #fail(): void {
    const running = this.#running;
    this.#running = undefined;
    running?.reject(unavailable(this.#reason));
  }
}
