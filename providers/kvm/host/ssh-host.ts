import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { Exec, ExecResult } from "../../../src/platform/index.ts";
import type { HostCall, KvmHost } from "./host.ts";
import { type Scripts, shellArguments } from "./scripts.ts";
import { quoted, type SshTarget, sshArguments } from "./ssh-command.ts";

/**
 * Another machine, by OpenSSH. What a script has begun there goes on when the connection breaks, and its QEMU is nobody's child;
 * the next call looks at what there is.
 */
export class SshHost implements KvmHost {
  readonly label: string;
  readonly #exec: Exec;
  readonly #scripts: Scripts;
  readonly #target: SshTarget;
  #folder: Promise<string> | undefined;
  #sockets = 0;

  constructor(exec: Exec, scripts: Scripts, target: SshTarget) {
    this.label = `host ${target.host}`;
    this.#exec = exec;
    this.#scripts = scripts;
    this.#target = target;
  }

  async run(call: HostCall, signal: AbortSignal): Promise<ExecResult> {
    const words = shellArguments(this.#scripts[call.script], call.values, call.args);
    const command = words.map(quoted).join(" ");
    const input = call.input === undefined ? {} : { input: call.input };
    const ssh = sshArguments(this.#target, await this.#ownFolder());
    return this.#exec.run([...ssh, "--", this.#target.host, command], { signal, ...input });
  }

  /** A socket of ours stands for the host's as long as the stream is open. */
  async dial(path: string, signal: AbortSignal): Promise<Duplex> {
    const folder = await this.#ownFolder();
    const local = join(folder, `s${++this.#sockets}`);
    const forward = (verb: "forward" | "cancel"): Promise<ExecResult> => {
      const ssh = sshArguments(this.#target, folder);
      const options = verb === "forward" ? { signal } : {};
      return this.#exec.run([...ssh, "-O", verb, "-L", `${local}:${path}`, "--", this.#target.host], options);
    };
    const { code, stderr } = await forward("forward");
    if (code !== 0) throw new Error(`${this.label}: cannot reach ${path}: ${stderr.trim()}`);
    const end = async (): Promise<void> => {
      await forward("cancel").catch(() => undefined); // The connection is gone, and the socket with it.
      await rm(local, { force: true });
    };
    try {
      const socket = connect({ path: local, signal });
      socket.once("close", () => void end());
      await once(socket, "connect", { signal });
      return socket;
    } catch (error) {
      await end();
      throw error;
    }
  }

  async close(): Promise<void> {
    if (this.#folder === undefined) return;
    const folder = await this.#folder;
    const ssh = sshArguments(this.#target, folder);
    await this.#exec.run([...ssh, "-O", "exit", "--", this.#target.host]).catch(() => undefined); // None may be open.
    await rm(folder, { recursive: true, force: true });
  }

  /** A folder that only we can enter (0700), for the shared connection. */
  #ownFolder(): Promise<string> {
    this.#folder ??= mkdtemp(join(tmpdir(), "ppk-ssh-"));
    return this.#folder;
  }
}
