import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";

const INSIDE = "PEERPOD_TEST_INSIDE";

export const isRoot: boolean = process.getuid?.() === 0;
export const isInside: boolean = process.env[INSIDE] === "1";

/** What `unshare` is given to run a program of ours in network, mount and pid namespaces of its own. */
export function insideNamespaces(
  filename: string,
  args: readonly string[],
): { readonly args: readonly string[]; readonly env: NodeJS.ProcessEnv } {
  const namespaces = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"];
  const self = [process.execPath, ...process.execArgv, filename, ...args];
  return {
    args: [...namespaces, "sh", "-c", '"$@"; exit $?', "inside", ...self],
    env: { ...process.env, [INSIDE]: "1" },
  };
}

/**
 * Runs this very program again in namespaces of its own, so that devices, chains and ports collide with nobody's and the
 * machine's are not touched. Returns its exit status.
 */
export function rerunInNamespaces(filename: string, args: readonly string[]): number {
  const inside = insideNamespaces(filename, args);
  const result = spawnSync("unshare", inside.args, { stdio: "inherit", env: inside.env });
  if (result.error !== undefined) console.error(`cannot make namespaces: ${result.error.message}`);
  return result.status ?? 1;
}

/** Makes the namespaces usable: a /run of its own, and loopback. */
export function prepareNamespaces(): void {
  execFileSync("mount", ["-t", "tmpfs", "-o", "mode=0755", "test-run", "/run"]);
  execFileSync("ip", ["link", "set", "lo", "up"]);
  mkdirSync("/run/netns", { recursive: true });
}
