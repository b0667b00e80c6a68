import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { DirectVolumeEntry } from "../sandbox/index.ts";

/** Where Kata keeps them (kata-containers src/runtime/pkg/direct-volume). */
export const DIRECT_VOLUMES_DIR = "/run/kata-containers/shared/direct-volumes";

/** What CSI drivers have put there for the pods of this node. */
export function directVolumes(dir: string): readonly DirectVolumeEntry[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => ({ name: entry.name, mountInfo: readText(join(dir, entry.name, "mountInfo.json")) }));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

/** A volume may go while we look; without its file it is one without a disk. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
