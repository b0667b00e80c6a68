import { chmod, mkdir, readdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Secret } from "../../../src/platform/index.ts";

/** The folders of VMs on the host: user data (0400, in folders only we can enter) and, without root, what the guest writes. */
export class VmFiles {
  readonly #stateDir: string;
  readonly #root: string;

  constructor(stateDir: string) {
    this.#stateDir = stateDir;
    this.#root = join(stateDir, "vms");
  }

  dir(id: string): string {
    return join(this.#root, id);
  }

  /** Makes a VM's folder with its user data. */
  async create(id: string, userData: Secret): Promise<string> {
    await mkdir(join(this.dir(id), "cidata"), { recursive: true, mode: 0o700 });
    await this.setUserData(id, userData);
    return this.dir(id);
  }

  /** Puts user data in place as a whole: a guest reads the old or the new. */
  async setUserData(id: string, userData: Secret): Promise<void> {
    const path = join(this.dir(id), "cidata", "user-data");
    await writeFile(`${path}.new`, userData.reveal(), { mode: 0o400 });
    await chmod(`${path}.new`, 0o400);
    await rename(`${path}.new`, path);
  }

  async remove(id: string): Promise<void> {
    await rm(this.dir(id), { recursive: true, force: true });
  }

  /** VMs that have a folder, of this life or an earlier one. */
  async vmIds(): Promise<readonly string[]> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    return readdir(this.#root);
  }

  async close(): Promise<void> {
    await rm(this.#root, { recursive: true, force: true });
    // Only if nobody else has put something there.
    await rmdir(this.#stateDir).catch(() => undefined);
  }
}
