import { readdir, readFile, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { systemExec } from "../../src/platform/index.ts";

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

/** Removes the cgroups of a node, innermost first. */
export async function removeCgroups(name: string): Promise<void> {
  const mounts = await readFile("/proc/self/mountinfo", "utf8");
  const removeTree = async (dir: string): Promise<void> => {
    for (const entry of await readdir(dir, { withFileTypes: true }).catch(() => []))
      if (entry.isDirectory()) await removeTree(join(dir, entry.name));
    await rmdir(dir).catch(() => undefined);
  };
  for (const line of mounts.split("\n"))
    if (/ - cgroup2? /.test(line)) await removeTree(join(line.split(" ")[4] ?? "", name));
}
