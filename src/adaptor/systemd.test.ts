import { spawn, spawnSync } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { type Log, silentLog, systemClock, systemExec } from "../platform/index.ts";
import { systemdNotifier } from "./systemd.ts";

const has = (program: string): boolean => spawnSync(program, ["--version"]).error === undefined;

/** systemd's end of the socket: prints each message, and ends barriers by closing what they carry. */
const RECEIVER = `
import socket, sys, array, os
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); print("listening", flush=True)
while True:
    data, anc, _, _ = s.recvmsg(4096, 1024)
    for level, kind, fds in anc:
        a = array.array("i"); a.frombytes(fds); [os.close(fd) for fd in a]
    print(data.decode().strip(), flush=True)
`;

test.skipIf(!has("systemd-notify") || !has("python3"))(
  "systemd is told once that the process is ready, and that it stops (needs systemd-notify and python3)",
  async () => {
    const dir = mkdtempSync(join(tmpdir(), "notify-"));
    const socket = join(dir, "notify.sock");
    const receiver = spawn("python3", ["-c", RECEIVER, socket], { stdio: ["ignore", "pipe", "ignore"] });
    onTestFinished(() => {
      receiver.kill();
      rmSync(dir, { recursive: true });
    });
    const lines = createInterface({ input: receiver.stdout });
    await once(lines, "line");
    const heard: string[] = [];
    const changed = new EventEmitter();
    lines.on("line", (line) => {
      if (line.startsWith("BARRIER")) return;
      heard.push(line);
      changed.emit(line);
    });
    const stop = new AbortController();
    const deps = { clock: systemClock, exec: systemExec, log: silentLog };
    const notifier = systemdNotifier(deps, socket, stop.signal);
    notifier.ready();
    notifier.ready();
    await once(changed, "READY=1");
    stop.abort();
    await once(changed, "STOPPING=1");
    expect(heard).toEqual(["READY=1", "STOPPING=1"]);
  },
);

test("where it cannot be told the process goes on, and the log says what to do", async () => {
  const warned = Promise.withResolvers<string>();
  const log: Log = {
    ...silentLog,
    warn: (message, fields) => warned.resolve(`${message}: ${fields?.error}`),
  };
  const exec = {
    run: async () => ({ code: 1, stdout: "", stderr: "Failed to notify init system: Connection refused\n" }),
  };
  systemdNotifier({ clock: systemClock, exec, log }, "/nowhere", new AbortController().signal).ready();
  expect(await warned.promise).toMatch(/NotifyAccess=all.*Connection refused/);
});

test("without NOTIFY_SOCKET nothing is run", async () => {
  const ran: string[] = [];
  const exec = {
    run: async (argv: readonly string[]) => {
      ran.push(argv.join(" "));
      return { code: 0, stdout: "", stderr: "" };
    },
  };
  const stop = new AbortController();
  systemdNotifier({ clock: systemClock, exec, log: silentLog }, "", stop.signal).ready();
  stop.abort();
  expect(ran).toEqual([]);
});
