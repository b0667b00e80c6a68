import type { Duplex } from "node:stream";
import type { ExecResult } from "../../../src/platform/index.ts";
import type { ScriptName } from "./scripts.ts";

/** One call to the machine that runs the VMs. */
export interface HostCall {
  readonly script: ScriptName;
  /** Variables of the script. */
  readonly values: Readonly<Record<string, string | number>>;
  /** Positional arguments: names, or a command. */
  readonly args?: readonly string[];
  /** Standard input; never in an argument list. */
  readonly input?: string;
}

/** The machine that runs the VMs: this one, or another over SSH. */
export interface KvmHost {
  /** For messages: "this machine". */
  readonly label: string;
  /** Runs a script to its end, whatever its exit status. Rejects (`unavailable`) when the host cannot be reached, and on abort. */
  run(call: HostCall, signal: AbortSignal): Promise<ExecResult>;
  /** Connects to a unix socket on the host. Rejects with Node's error. */
  dial(path: string, signal: AbortSignal): Promise<Duplex>;
  close(): Promise<void>;
}
