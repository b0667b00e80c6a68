import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BUSYBOX_PATH } from "../../providers/mock/guest/index.ts";
import type { CpioMember } from "./cpio.ts";

const FOLDERS = [
  ...[
    "bin",
    "dev",
    "etc",
    "etc/acpi",
    "etc/acpi/PWRF",
    "lib",
    "lib64",
    "lib/modules",
    "media",
    "opt",
    "proc",
  ],
  ...["root", "run", "sbin", "self", "sys", "tmp", "usr", "usr/bin", "usr/sbin", "usr/lib"],
  ...["usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/xtables", "var", "var/lib", "var/tmp"],
];
/** Applets that the real program takes the place of. */
const REPLACED = new Set(["ip", "nsenter", "unshare", "mount", "stty", "busybox"]);

/** Folders, busybox's names, accounts, the scripts of this folder and the console. */
export function skeleton(here: string): readonly CpioMember[] {
  const text = (path: string, content: string, mode = 0o644): CpioMember => ({
    path,
    type: "file",
    mode,
    content: Buffer.from(content),
  });
  const script = (path: string, name: string): CpioMember =>
    text(path, readFileSync(join(here, name), "utf8"), 0o755);
  return [
    ...FOLDERS.map((path) => ({ path, type: "directory", mode: 0o755 }) satisfies CpioMember),
    { path: "dev/console", type: "character-device", mode: 0o600, device: [5, 1] },
    { path: "dev/null", type: "character-device", mode: 0o666, device: [1, 3] },
    ...applets().map(
      (name) =>
        ({ path: `bin/${name}`, type: "symlink", mode: 0o777, linkTarget: "busybox" }) satisfies CpioMember,
    ),
    text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
    text("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
    text("etc/hosts", "127.0.0.1 localhost podvm\n"),
    script("init", "init.sh"),
    script("etc/udhcpc.sh", "udhcpc.sh"),
    script("etc/acpi/PWRF/00000080", "power-button.sh"),
  ];
}

function applets(): readonly string[] {
  const { status, stdout } = spawnSync(BUSYBOX_PATH, ["--list"], { encoding: "utf8" });
  if (status !== 0) throw new Error(`${BUSYBOX_PATH} does not run; install busybox-static`);
  return stdout.split("\n").filter((name) => /^[\w.[-]+$/.test(name) && !REPLACED.has(name));
}
