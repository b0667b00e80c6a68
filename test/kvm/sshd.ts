import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { SshTarget } from "../../providers/kvm/host/index.ts";
import { whyNoVms } from "./prepare.ts";

const PORT = 2222;
const SSHD = "/usr/sbin/sshd";

/** Why no host can be reached over SSH here; undefined when one can. */
export function whyNoSsh(): string | undefined {
  const tools = [SSHD, "/usr/bin/ssh", "/usr/bin/ssh-keygen"];
  return (
    whyNoVms() ??
    (tools.every((path) => existsSync(path)) ? undefined : "needs OpenSSH: apt-get install openssh-server")
  );
}

/** A real sshd of our own, with keys of its own, in the namespace that the words before a command lead to. */
export class TestSshd {
  readonly target: SshTarget;
  readonly #config: string;
  readonly #inside: readonly string[];
  #process: ChildProcess | undefined;

  constructor(dir: string, inside: readonly string[]) {
    this.#inside = inside;
    const ssh = join(dir, "ssh");
    mkdirSync(ssh, { mode: 0o700 });
    for (const name of ["host", "client"])
      execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(ssh, name)]);
    copyFileSync(join(ssh, "client.pub"), join(ssh, "authorized"));
    const knownHostsFile = join(ssh, "known");
    writeFileSync(knownHostsFile, `[127.0.0.1]:${PORT} ${readFileSync(join(ssh, "host.pub"), "utf8")}`);
    this.#config = join(ssh, "config");
    const lines = [
      ...[`Port ${PORT}`, "ListenAddress 127.0.0.1", `HostKey ${join(ssh, "host")}`, "PidFile none"],
      ...[
        `AuthorizedKeysFile ${join(ssh, "authorized")}`,
        "StrictModes no",
        "PermitRootLogin prohibit-password",
      ],
      ...["UsePAM no", "MaxStartups 100", "MaxSessions 100"],
    ];
    writeFileSync(this.#config, `${lines.join("\n")}\n`);
    this.target = {
      host: "127.0.0.1",
      port: PORT,
      user: "root",
      keyFile: join(ssh, "client"),
      knownHostsFile,
    };
  }

  async start(): Promise<void> {
    // Debian's sshd wants its folder for the separation of privileges.
    mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
    const argv = [...this.#inside, SSHD, "-D", "-e", "-f", this.#config];
    const [file = "", ...args] = argv;
    const child = spawn(file, args, { stdio: ["ignore", "ignore", "pipe"] });
    this.#process = child;
    const lines = createInterface({ input: child.stderr });
    for await (const line of lines) if (line.includes("Server listening")) break;
    child.stderr.resume();
  }

  /** Ends it with all its sessions, as a machine that loses its network does; what they have started goes on. */
  async breakConnections(): Promise<void> {
    const parent = this.#process;
    if (parent === undefined || parent.exitCode !== null) return;
    const exited = once(parent, "exit");
    for (const pid of sessionsOf(parent.pid ?? 0)) kill(pid);
    parent.kill("SIGKILL");
    await exited;
  }
}

/** Processes of sshd below one. One may end while we look: its files are then not there, or not readable. */
function sessionsOf(parent: number): readonly number[] {
  const children = readProc(`${parent}/task/${parent}/children`)
    .split(" ")
    .filter((pid) => pid !== "");
  return children.flatMap((text) => {
    const pid = Number(text);
    return readProc(`${pid}/comm`).startsWith("sshd") ? [...sessionsOf(pid), pid] : [];
  });
}

function readProc(path: string): string {
  try {
    return readFileSync(join("/proc", path), "utf8").trim();
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH"))
      return "";
    throw error;
  }
}

/** Ends a process, if it has not ended by itself. */
function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
