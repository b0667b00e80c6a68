import { spawnSync } from "node:child_process";

/** Whether the bundle in `<root>/dist` is what the sources say; by the same rule as bin/cloud-api-adaptor. */
export function bundleIsFresh(root: string): boolean {
  const script = '. deploy/bundle/fresh.sh && bundle_is_fresh "$PWD"';
  return spawnSync("sh", ["-c", script], { cwd: root }).status === 0;
}
