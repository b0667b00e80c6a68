import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const ROOT: string = join(import.meta.dirname, "../..");
const NODE_FLAGS = ["--disable-warning=ExperimentalWarning"];

/** A process of the product under test, with its output in a file. */
export class Child {
  readonly name: string;
  readonly logPath: string;
  readonly process: ChildProcess;
  readonly exited: Promise<void>;

  /** Starts `cloud-api-adaptor <args>` under this very Node. */
  constructor(
    name: string,
    logPath: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ) {
    this.name = name;
    this.logPath = logPath;
    const out = openSync(logPath, "a");
    this.process = spawn(process.execPath, [...NODE_FLAGS, join(ROOT, "src/cli/main.ts"), ...args], {
      stdio: ["ignore", out, out],
      env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "/root", ...env },
    });
    this.exited = once(this.process, "exit").then(() => undefined);
  }

  get running(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.running) this.process.kill(signal);
    await this.exited;
  }

  log(): string {
    return readFileSync(this.logPath, "utf8");
  }
}
