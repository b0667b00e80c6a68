import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseStatus } from "../../src/admin/status.ts";
import { PROGRAM } from "../node/child.ts";
import { type Case, must } from "./case.ts";
import { never, type Stage } from "./stage.ts";

interface Said {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs `cloud-api-adaptor <args>` beside what runs, asking at this socket. */
function command(socket: string, ...args: readonly string[]): Said {
  const { status, stdout, stderr } = spawnSync(PROGRAM, args, {
    encoding: "utf8",
    env: { PATH: process.env["PATH"], PEERPODS_ADMIN_SOCKET: socket },
  });
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

const STATUS: Case = {
  name: "status shows a slow start with what it waits for, inspect its timeline, and neither a key",
  async run(stage) {
    const path = join(stage.node.runDir, "admin.sock");
    const control = stage.control();
    await becomes(stage, path, "ready", /^ok: serving$/m);
    await stage.cloud.settings({ bootDelayMs: 600_000 }, never);
    const { pod } = stage.newPod();
    await pod.create();
    const start = pod.start();
    start.catch(() => undefined);
    await stage.until(
      () => /waiting for the VM's address, \d+ s/.test(command(path, "status").out),
      () => `status never showed the start:\n${command(path, "status").out}`,
    );
    const status = parseStatus(command(path, "status", "-json").out);
    must(status.pods[0]?.phase === "starting" && status.limit.used === 1, "the JSON does not show the pod");
    await stage.cloud.settings({ bootDelayMs: 0 }, never);
    await pod.stop();
    await start.catch(() => undefined);
    const gone = command(path, "inspect", pod.pod.name);
    must(gone.status === 0 && gone.out.includes("done create"), `inspect showed ${gone.out}${gone.err}`);
    must(
      !/PRIVATE KEY/.test(gone.out + command(path, "inspect", "-json", pod.pod.name).out),
      "a key was shown",
    );
    const nobody = command(path, "inspect", "nobody");
    must(nobody.status === 1 && nobody.err.includes("knows no pod"), `inspect nobody: ${nobody.err}`);
    await control.kill("SIGTERM");
    const away = command(path, "status");
    must(away.status === 1 && /no adaptor answers.*journal show/.test(away.err), `status alone: ${away.err}`);
  },
};

const CONSOLE: Case = {
  name: "inspect shows a running pod's steps and, when asked for, its VM's console",
  async run(stage) {
    const path = join(stage.node.runDir, "admin.sock");
    const control = stage.control();
    const running = await stage.runPod();
    const plain = command(path, "inspect", running.pod.id.slice(0, 12)).out;
    for (const step of ["create", "vm.create", "link", "start"])
      must(new RegExp(`done ${step} after [0-9.]+ s`).test(plain), `the step ${step} is missing:\n${plain}`);
    must(!plain.includes("Console"), "the console was not asked for");
    const { out } = command(path, "inspect", "-console", `resilience/${running.pod.pod.name}`);
    must(/^Console\n +\S/m.test(out), `no console was shown:\n${out}`);
    await stage.endPod(running);
    await control.kill("SIGTERM");
  },
};

const LOG_LEVEL: Case = {
  name: "the log level of a running adaptor is changed, and a wrong one is refused",
  async run(stage) {
    const path = join(stage.node.runDir, "admin.sock");
    const control = stage.control(["-log-level=error"]);
    await becomes(stage, path, "ready", /^ok: serving$/m);
    const lines = (): number => control.log().split("\n").length;
    must(command(path, "log-level").out === "error\n", "it does not say its level");
    const before = lines();
    must(command(path, "log-level", "debug").out === "debug\n", "it was not changed");
    const wrong = command(path, "log-level", "loud");
    must(wrong.status === 1 && wrong.err.includes("debug, info, warn, error"), wrong.err);
    must(command(path, "log-level").out === "debug\n", "it did not stay changed");
    const { pod } = stage.newPod();
    await pod.create();
    await pod.start();
    await pod.stop();
    must(lines() > before + 2, "the new level shows nothing");
    await control.kill("SIGTERM");
  },
};

/** What people and probes see of an adaptor. */
export const ADMIN_CASES: readonly Case[] = [PROBES, SHARED_PATH, STATUS, CONSOLE, LOG_LEVEL];
