import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../node/child.ts";
import { type Case, must } from "./case.ts";
import type { Stage } from "./stage.ts";

interface Said {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs `cloud-api-adaptor <args>` beside what runs, asking at this socket. */
function command(socket: string, ...args: readonly string[]): Said {
  const main = join(ROOT, "src/cli/main.ts");
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", main, ...args],
    { encoding: "utf8", env: { PATH: process.env["PATH"], PEERPODS_ADMIN_SOCKET: socket } },
  );
  return { status, out: stdout, err: stderr };
}

async function becomes(stage: Stage, socket: string, question: string, text: RegExp): Promise<void> {
  let last: Said | undefined;
  await stage.until(
    () => {
      last = command(socket, "probe", question);
      return text.test(last.out);
    },
    () => `probe ${question} never said ${text}, but ${JSON.stringify(last)}`,
  );
}

function mustProbe(socket: string, question: string, status: number): void {
  const said = command(socket, "probe", question);
  must(
    said.status === status,
    `probe ${question} gave ${JSON.stringify(said)}, status ${status} was expected`,
  );
}

const PROBES: Case = {
  name: "probes tell owner, standby and one without a shim-proxy apart, each asked at its own socket",
  async run(stage) {
    const socket = (name: string): string => join(stage.node.runDir, `${name}.sock`);
    mustProbe(socket("owner"), "live", 1);
    const owner = stage.control([`-admin-socket=${socket("owner")}`]);
    await becomes(stage, socket("owner"), "ready", /^ok: serving$/m);
    const standby = stage.control([`-admin-socket=${socket("standby")}`]);
    await becomes(stage, socket("standby"), "startup", /^ok: standing by: another control plane owns/m);
    const alone = stage.control([
      `-admin-socket=${socket("alone")}`,
      `-proxy-socket=${socket("nobody")}`,
      `-state-dir=${join(stage.node.dir, "alone")}`,
    ]);
    await becomes(stage, socket("alone"), "startup", /^not ok: waiting for the shim-proxy: /m);
    mustProbe(socket("alone"), "ready", 1);
    mustProbe(socket("alone"), "live", 0);
    mustProbe(socket("owner"), "nonsense", 2);
    await owner.kill("SIGTERM");
    await becomes(stage, socket("standby"), "ready", /^ok: serving$/m);
    for (const child of [standby, alone]) await child.kill("SIGTERM");
    for (const name of ["owner", "standby", "alone"])
      must(!existsSync(socket(name)), `${name}.sock was left behind`);
  },
};

const SHARED_PATH: Case = {
  name: "of two adaptors with one path for their admin sockets the owner answers there, killed or ended",
  async run(stage) {
    const path = join(stage.node.runDir, "admin.sock");
    const owner = stage.control();
    await becomes(stage, path, "ready", /^ok: serving$/m);
    const standby = stage.control();
    await stage.until(
      () => readdirSync(stage.node.runDir).some((name) => /^admin\.sock\.[0-9a-f]{6}$/.test(name)),
      () => "the second control plane's socket never waited beside the path",
    );
    await becomes(stage, path, "ready", /^ok: serving$/m);
    await owner.kill("SIGKILL");
    await becomes(stage, path, "ready", /^ok: serving$/m);
    await standby.kill("SIGTERM");
    must(!existsSync(path), "admin.sock was left behind");
  },
};

/** What people and probes see of an adaptor. */
export const ADMIN_CASES: readonly Case[] = [PROBES, SHARED_PATH];
