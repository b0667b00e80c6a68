import { existsSync } from "node:fs";
import { readdir, readFile, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { systemExec } from "../../src/platform/index.ts";
import { until } from "./service.ts";

const CGROUPS_TIMEOUT_MS = 30_000;
const SYSCTLS = ["vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops"];

/** What a test must not change on the machine. */
export async function machineState(): Promise<string> {
  const links = await systemExec.run(["ip", "-o", "link", "show"]);
  const rules = await systemExec.run(["iptables-save", "-t", "raw"]);
  const names = links.stdout.split("\n").map((line) => line.split(": ")[1] ?? "");
  // A kubelet sets these.
  const settings = await Promise.all(SYSCTLS.map((path) => readFile(join("/proc/sys", path), "utf8")));
  return [...settings, ...names, ...rules.stdout.split("\n").filter((line) => /^-A/.test(line))]
    .sort()
    .join("\n");
}

/** Removes the cgroups of a node, innermost first, as soon as its last processes are out of them. */
export async function removeCgroups(name: string): Promise<void> {
  const mounts = await readFile("/proc/self/mountinfo", "utf8");
  const roots = mounts
    .split("\n")
    .flatMap((line) => (/ - cgroup2? /.test(line) ? join(line.split(" ")[4] ?? "", name) : []));
  const removeTree = async (dir: string): Promise<void> => {
    for (const entry of await readdir(dir, { withFileTypes: true }).catch(() => []))
      if (entry.isDirectory()) await removeTree(join(dir, entry.name));
    await rmdir(dir).catch(() => undefined);
  };
  await until(`cgroups ${name} removed`, CGROUPS_TIMEOUT_MS, async () => {
    for (const root of roots) await removeTree(root);
    return roots.every((root) => !existsSync(root));
  });
}
