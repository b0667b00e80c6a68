import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { unavailable } from "../errors/index.ts";

export interface ExecOptions {
  readonly signal?: AbortSignal;
  /** Written to the command's standard input, which is then closed. */
  readonly input?: string;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface ExecResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command given as an argument array, never a shell string. */
export interface Exec {
  /** Resolves with the outcome whatever the exit status. Rejects (`unavailable`) if it cannot be started or is aborted. */
  run(argv: readonly [string, ...string[]], options?: ExecOptions): Promise<ExecResult>;
}

/** Bytes of output kept of each stream; a command that prints more is ended. */
export const MAX_OUTPUT_BYTES: number = 16 * 1024 * 1024;

export const systemExec: Exec = {
  run(argv, options = {}) {
    const [file, ...args] = argv;
    return new Promise((resolve, reject) => {
      const child = spawn(file, args, {
        stdio: ["pipe", "pipe", "pipe"],
        ...(options.signal ? { signal: options.signal, killSignal: "SIGKILL" as const } : {}),
        ...(options.env ? { env: { ...process.env, ...options.env } } : {}),
      });
      const stdout: Buffer[] = [];
      const stderr: Buffer[] = [];
      let bytes = 0;
      const collect = (into: Buffer[]) => (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_OUTPUT_BYTES) child.kill("SIGKILL");
        else into.push(chunk);
      };
      child.stdout.on("data", collect(stdout));
      child.stderr.on("data", collect(stderr));
      child.on("error", (cause) => reject(unavailable(`cannot run ${file}: ${cause.message}`, { cause })));
      child.on("close", (code, signalName) => {
        const text = Buffer.concat(stderr).toString();
        resolve({
          code: code ?? 128,
          stdout: Buffer.concat(stdout).toString(),
          stderr: signalName ? `${text}(ended by ${signalName})` : text,
        });
      });
      child.stdin.on("error", () => {
        // A command that exits without reading its input is judged by its exit status.
      });
      child.stdin.end(options.input ?? "");
    });
  },
};

/** The path of a program, as execvp finds it; undefined when there is none. */
export function findProgram(name: string): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder.startsWith("/"));
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/** Whether this process may start it. */
export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
