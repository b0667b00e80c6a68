import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";

const INSIDE = "PEERPOD_TEST_INSIDE";

export const isRoot: boolean = process.getuid?.() === 0;
export const isInside: boolean = process.env[INSIDE] === "1";

/**
 * Runs this very program again in network, mount and pid namespaces of its own, so that devices, chains and ports collide
 * with nobody's and the machine's are not touched. Returns its exit status.
 */
export function rerunInNamespaces(filename: string, args: readonly string[]): number {
  const namespaces = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"];
  const self = [process.execPath, ...process.execArgv, filename, ...args];
  const result = spawnSync("unshare", [...namespaces, "sh", "-c", '"$@"; exit $?', "inside", ...self], {
    stdio: "inherit",
    env: { ...process.env, [INSIDE]: "1" },
  });
  if (result.error !== undefined) console.error(`cannot make namespaces: ${result.error.message}`);
  return result.status ?? 1;
}

/** Makes the namespaces usable: a /run of its own, and loopback. */
export function prepareNamespaces(): void {
  execFileSync("mount", ["-t", "tmpfs", "-o", "mode=0755", "test-run", "/run"]);
  execFileSync("ip", ["link", "set", "lo", "up"]);
  mkdirSync("/run/netns", { recursive: true });
}
