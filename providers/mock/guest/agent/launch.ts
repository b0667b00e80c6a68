import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { existsSync, watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { CaaError, describeError, internal } from "../../../../src/errors/index.ts";
import type { Clock } from "../../../../src/platform/index.ts";
import { OutputStream } from "./output.ts";
import type { LaunchedProcess } from "./runtime.ts";

const SIGNAL_BASE = 128;
/** How long a process may take from runc's word that it runs to its own first instruction: milliseconds a try, and tries. */
const EXEC_POLL_MS = 1;
const MAX_EXEC_POLLS = 2_000;
/** Arguments of a command that goes through script's shell: nothing that a shell would look at. */
const SHELL_SAFE = /^[\w@%+=:,./-]+$/;

/** A command of runc that stays in the foreground as long as the container's process lives and exits with its code. */
export interface LaunchCommand {
  readonly argv: readonly [string, ...string[]];
  /** Written by runc, in a folder that exists, when the process runs. */
  readonly pidFile: string;
  /** Where runc logs, as JSON lines. */
  readonly logFile: string;
  readonly terminal: boolean;
}

/**
 * The command under script(1), which gives it the terminal that runc insists on. runc sets that one raw and makes the
 * container's own behind it.
 */
function underScript(argv: readonly string[]): readonly [string, ...string[]] {
  const odd = argv.find((argument) => !SHELL_SAFE.test(argument));
  if (odd !== undefined) throw internal(`cannot pass ${JSON.stringify(odd)} to a process with a terminal`);
  return [
    "script",
    "--quiet",
    "--return",
    "--flush",
    "--echo",
    "never",
    "--command",
    `exec ${argv.join(" ")}`,
    "/dev/null",
  ];
}

/** Starts a process and resolves when it runs. Rejects with runc's own words when it cannot be started. */
export async function launch(clock: Clock, command: LaunchCommand): Promise<LaunchedProcess> {
  const [file, ...args] = command.terminal ? underScript(command.argv) : command.argv;
  const running = watchFor(command.pidFile);
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"] });
  const { exited, failure } = endOf(child);
  child.stdin.on("error", () => {
    // A process that ended or closed its input: the writer is told by its own callback.
  });
  const stdout = new OutputStream(child.stdout);
  const stderr = new OutputStream(child.stderr);
  try {
    await Promise.race([running.seen, exited]);
  } finally {
    running.stop();
  }
  const pid = Number(await readFile(command.pidFile, "utf8").catch(() => ""));
  if (!(pid > 0)) {
    await exited;
    child.stdin.destroy();
    stdout.discard();
    stderr.discard();
    throw failure() ?? internal(lastMessage(await readFile(command.logFile, "utf8").catch(describeError)));
  }
  await untilExecuted(clock, pid);
  return {
    pid,
    stdin: child.stdin,
    stdout,
    stderr: command.terminal ? withoutOutput(stderr) : stderr,
    exited,
    resize: (rows, columns) => resizeTerminal(pid, rows, columns),
  };
}

/** Until it has become the container's command it is runc, on which a signal would be lost. */
async function untilExecuted(clock: Clock, pid: number): Promise<void> {
  for (let tries = 0; tries < MAX_EXEC_POLLS; tries += 1) {
    const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
    if (!name.startsWith("runc:[")) return;
    await clock.sleep(EXEC_POLL_MS);
  }
}

/** script's own stderr carries nothing of the process. */
function withoutOutput(stderr: OutputStream): OutputStream {
  stderr.discard();
  return new OutputStream(undefined);
}

interface ProcessEnd {
  readonly exited: Promise<number>;
  /** Why it could not even be started. */
  readonly failure: () => CaaError | undefined;
}

function endOf(child: ChildProcessWithoutNullStreams): ProcessEnd {
  const { promise, resolve } = Promise.withResolvers<number>();
  let failure: CaaError | undefined;
  child.on("exit", (code) => resolve(code ?? SIGNAL_BASE));
  child.on("error", (cause) => {
    failure = internal(`cannot run ${child.spawnfile}: ${cause.message}; is it installed?`, { cause });
    resolve(SIGNAL_BASE - 1);
  });
  return { exited: promise, failure: () => failure };
}

/** Resolves when `path` appears. The folder is watched from this call on, so that nothing is missed. */
function watchFor(path: string): { readonly seen: Promise<void>; stop(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const name = basename(path);
  const watcher = watch(dirname(path), (_event, changed) => {
    if (changed === name && existsSync(path)) resolve();
  });
  return { seen: promise, stop: () => watcher.close() };
}

/** The newest message among runc's JSON lines, or all of a text that has none. */
export function lastMessage(log: string): string {
  for (const line of log.trim().split("\n").reverse()) {
    const message = /"msg":("(?:[^"\\]|\\.)*")/.exec(line)?.[1];
    if (message !== undefined) return String(JSON.parse(message));
  }
  return log.trim() === "" ? "runc did not say why" : log.trim();
}

async function resizeTerminal(pid: number, rows: number, columns: number): Promise<void> {
  const child = spawn("stty", ["-F", `/proc/${pid}/fd/0`, "rows", `${rows}`, "cols", `${columns}`], {
    stdio: "ignore",
  });
  const { promise, resolve } = Promise.withResolvers<number>();
  child.on("exit", (code) => resolve(code ?? 1));
  child.on("error", () => resolve(1));
  if ((await promise) !== 0) throw new CaaError("internal", `cannot resize the terminal of process ${pid}`);
}
