import { once } from "node:events";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import type { Exec, ExecResult } from "../../../src/platform/index.ts";
import type { HostCall, KvmHost } from "./host.ts";
import { type Scripts, shellArguments } from "./scripts.ts";

/** The machine that we run on. */
export class LocalHost implements KvmHost {
  readonly label = "this machine";
  readonly #exec: Exec;
  readonly #scripts: Scripts;

  constructor(exec: Exec, scripts: Scripts) {
    this.#exec = exec;
    this.#scripts = scripts;
  }

  run(call: HostCall, signal: AbortSignal): Promise<ExecResult> {
    const argv = shellArguments(this.#scripts[call.script], call.values, call.args);
    return this.#exec.run(argv, { signal, ...(call.input === undefined ? {} : { input: call.input }) });
  }

  async dial(path: string, signal: AbortSignal): Promise<Duplex> {
    const socket = connect({ path, signal });
    await once(socket, "connect", { signal });
    return socket;
  }

  async close(): Promise<void> {
    // Nothing is kept open between calls.
  }
}
