import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { bundleIsFresh } from "../../deploy/bundle/fresh.ts";
import { withRightsOfItsPod } from "./pod-rights.ts";

export const ROOT: string = join(import.meta.dirname, "../..");
/** Runs the bundle while it is as new as the sources, else the sources. */
export const PROGRAM: string = join(ROOT, "bin/cloud-api-adaptor");

/** The guest of a pod VM as a script for Node, by the same rule. */
export const guestScript = (): string =>
  join(ROOT, bundleIsFresh(ROOT) ? "dist/program/guest.mjs" : "providers/mock/guest/main.ts");

/** A process of the product under test, with its output in a file. */
export class Child {
  readonly name: string;
  readonly logPath: string;
  readonly process: ChildProcess;
  readonly exited: Promise<void>;

  /** Starts `cloud-api-adaptor <args>`; with POD_RIGHTS=1 with no more rights than the chart gives its pod. */
  constructor(
    name: string,
    logPath: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ) {
    this.name = name;
    this.logPath = logPath;
    const out = openSync(logPath, "a");
    const [command = ""] = args;
    const launcher = process.env["POD_RIGHTS"] === "1" ? withRightsOfItsPod(command) : [];
    const [file = "", ...rest] = [...launcher, PROGRAM, ...args];
    this.process = spawn(file, rest, {
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
