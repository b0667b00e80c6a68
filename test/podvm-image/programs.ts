import { spawnSync } from "node:child_process";
import { globSync, readFileSync, realpathSync } from "node:fs";
import { basename, join } from "node:path";
import type { CpioMember } from "./cpio.ts";

/** Path in the image, and where the packages have it. Busybox does the rest. */
const PROGRAMS: Readonly<Record<string, string>> = {
  "usr/sbin/ip": "bin/ip",
  "usr/sbin/xtables-legacy-multi": "usr/sbin/xtables-legacy-multi",
  "usr/sbin/runc": "usr/sbin/runc",
  "usr/bin/nsenter": "usr/bin/nsenter",
  "usr/bin/unshare": "usr/bin/unshare",
  "usr/bin/mount": "bin/mount",
  "usr/bin/script": "usr/bin/script",
  "usr/bin/stty": "bin/stty",
};
const LINKS: Readonly<Record<string, string>> = {
  "usr/sbin/iptables": "xtables-legacy-multi",
  "usr/sbin/iptables-restore": "xtables-legacy-multi",
  "usr/sbin/iptables-save": "xtables-legacy-multi",
};
/** What iptables loads by name. */
const EXTENSIONS = [
  "libxt_standard.so",
  "libxt_comment.so",
  "libxt_CT.so",
  "libxt_NOTRACK.so",
  "libxt_udp.so",
  "libxt_tcp.so",
];
const LIBRARIES = "usr/lib/x86_64-linux-gnu";
const LOADER = "lib64/ld-linux-x86-64.so.2";

/** What a program of the unpacked packages is linked with, by the packages' own loader: nothing of this machine comes in. */
function libraries(root: string, program: string): readonly string[] {
  const path = ["lib/x86_64-linux-gnu", LIBRARIES].map((dir) => join(root, dir)).join(":");
  const args = ["--library-path", path, "--list", program];
  const { status, stdout, stderr } = spawnSync(
    join(root, "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
    args,
    {
      encoding: "utf8",
    },
  );
  // A statically linked program has nothing to list.
  if (status !== 0) {
    if (/statically linked|not a dynamic/.test(`${stdout}${stderr}`)) return [];
    throw new Error(`${program}: ${stderr.trim()}`);
  }
  return stdout.split("\n").flatMap((line) => {
    const found = /=> (\S+) \(/.exec(line)?.[1];
    if (found === undefined || found.includes("ld-linux")) return [];
    if (!found.startsWith(root))
      throw new Error(`${program} needs ${found}, which no package of the image has`);
    return [found];
  });
}

const file = (path: string, from: string): CpioMember => ({
  path,
  type: "file",
  mode: 0o755,
  content: readFileSync(from),
});

/** Programs, Node, their libraries and what they load by name. */
export function programMembers(root: string): readonly CpioMember[] {
  const node = realpathSync(process.execPath);
  const programs = Object.entries(PROGRAMS).map(
    ([path, from]) => [path, realpathSync(join(root, from))] as const,
  );
  const needed = new Set(
    [node, ...programs.map(([, from]) => from)].flatMap((program) => libraries(root, program)),
  );
  const extensions = EXTENSIONS.map((name) => globSync(`**/xtables/${name}`, { cwd: root })[0] ?? name);
  return [
    file("bin/busybox", join(root, "bin/busybox")),
    file(LOADER, join(root, "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")),
    file("usr/bin/node", node),
    ...programs.map(([path, from]) => file(path, from)),
    ...Object.entries(LINKS).map(
      ([path, linkTarget]) => ({ path, type: "symlink", mode: 0o777, linkTarget }) satisfies CpioMember,
    ),
    ...[...needed].map((path) => file(`${LIBRARIES}/${basename(path)}`, realpathSync(path))),
    ...extensions.map((path) => file(path, join(root, path))),
  ];
}
