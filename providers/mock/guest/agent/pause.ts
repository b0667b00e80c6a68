import { existsSync, lstatSync, readlinkSync } from "node:fs";
import { mkdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { Process } from "../../../../src/gen/agent/oci.ts";
import type { Json } from "./oci-spec.ts";

/** Folders of the VM that a shell needs. */
const SYSTEM_DIRS = ["bin", "lib", "lib32", "lib64", "libx32", "usr"];

/**
 * What the pause container runs, whatever its image on the worker says, as with the real agent's /pause_bundle. A shell
 * that sleeps: it holds the pod's namespaces, ends on SIGTERM, and reaps orphans of a shared pid namespace.
 */
export const PAUSE_PROCESS: Process = Process.create({
  User: { UID: 0, GID: 0 },
  Args: ["/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 2147483647 & wait $!; done"],
  Env: ["PATH=/usr/bin:/bin"],
  Cwd: "/",
  NoNewPrivileges: true,
});

/** The root file system of the pause container: mount points and links for the VM's own system folders. */
export async function makePauseRootfs(rootfs: string): Promise<void> {
  for (const name of SYSTEM_DIRS) {
    const own = join("/", name);
    const path = join(rootfs, name);
    if (!existsSync(own)) continue;
    if (lstatSync(own).isSymbolicLink()) {
      await rm(path, { force: true });
      await symlink(readlinkSync(own), path);
    } else {
      await mkdir(path, { recursive: true });
    }
  }
}

/** The mounts that fill it, read-only. */
export function pauseMounts(): readonly Json[] {
  return SYSTEM_DIRS.map((name) => join("/", name))
    .filter((path) => existsSync(path) && !lstatSync(path).isSymbolicLink())
    .map((path) => ({ destination: path, source: path, type: "bind", options: ["rbind", "ro"] }));
}
