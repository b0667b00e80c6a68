import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const lines = (file: string, args: readonly string[]): string[] => {
  const out = execFileSync(file, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return out.split("\n").filter((line) => line.trim() !== "");
};

/** Files, folders and sockets below `dir`. */
export function filesBelow(dir: string): string[] {
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { recursive: true, encoding: "utf8" }).map((name) => {
    const path = join(dir, name);
    return `${statSync(path, { throwIfNoEntry: false })?.isSocket() === true ? "socket" : "file"} ${path}`;
  });
}

/** Processes of this pid namespace, by command line, without zombies. */
export function processes(): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const state = /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
        return state === "Z" || command === "" ? [] : [`process ${pid} ${command.slice(0, 120)}`];
      } catch {
        return []; // It ended between the two looks.
      }
    });
}

/** Network devices, namespaces and rules that can be seen here. */
export function networkState(): string[] {
  return [
    ...lines("ip", ["-o", "link"]).map((line) => `device ${/^\d+: ([^:@]+)/.exec(line)?.[1] ?? line}`),
    ...(existsSync("/run/netns") ? readdirSync("/run/netns").map((name) => `namespace ${name}`) : []),
    ...lines("iptables-save", ["-t", "raw"])
      .filter((line) => line.startsWith("-A") || /^:peerpod/.test(line))
      .map((line) => `rule ${line.replace(/\[\d+:\d+\]/, "")}`),
  ].sort();
}

/** What is in `after` and not in `before`. */
export function added(before: readonly string[], after: readonly string[]): string[] {
  const left = [...before];
  return after.filter((item) => {
    const at = left.indexOf(item);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}
