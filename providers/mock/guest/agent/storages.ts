import { chmod, mkdir } from "node:fs/promises";
import * as v from "valibot";
import { internal } from "../../../../src/errors/index.ts";
import type { Storage } from "../../../../src/gen/agent/agent.ts";
import type { Exec } from "../../../../src/platform/index.ts";
import { inVm } from "../settings.ts";
import { findImage } from "./images.ts";
import { makePauseRootfs } from "./pause.ts";
import { applyLayer } from "./unpack.ts";

// Storage drivers of the kata agent that a peer pod uses: kata-containers src/agent/src/storage.

/** Drivers in the order in which GetGuestDetails tells them. */
export const STORAGE_DRIVERS: readonly string[] = ["local", "ephemeral", "image_guest_pull"];

/** Container types of containerd and CRI-O that mark the pause container. */
const CONTAINER_TYPE_KEYS = ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"];

const PULL_OPTION = "image_guest_pull=";
const PULL = v.object({ metadata: v.optional(v.nullable(v.record(v.string(), v.string())), {}) });

export interface StorageDeps {
  readonly exec: Exec;
  readonly root: string;
  readonly imagesDir: string;
  readonly rootless: boolean;
}

/** Whether annotations are those of the pause container. */
export const isSandbox = (annotations: Readonly<Record<string, string>>): boolean =>
  CONTAINER_TYPE_KEYS.some((key) => annotations[key] === "sandbox");

/** Sets a storage up. Resolves to its mount point, as this guest sees it. Throws `internal` for what it cannot do. */
export async function addStorage(deps: StorageDeps, storage: Storage): Promise<string> {
  const target = inVm(deps.root, storage.mountPoint);
  switch (storage.driver) {
    case "ephemeral":
      await mountTmpfs(deps, storage, target);
      return target;
    case "local":
      await makeLocal(storage, target);
      return target;
    case "image_guest_pull":
      await pull(deps, storage, target);
      return target;
    default:
      throw internal(`storage driver ${JSON.stringify(storage.driver)} is not in this image`);
  }
}

/** Undoes addStorage as far as something is mounted. */
export async function removeStorage(deps: StorageDeps, storage: Storage): Promise<void> {
  if (storage.driver !== "ephemeral" || deps.rootless) return;
  await deps.exec.run(["umount", "--lazy", inVm(deps.root, storage.mountPoint)]);
}

async function mountTmpfs(deps: StorageDeps, storage: Storage, target: string): Promise<void> {
  await mkdir(target, { recursive: true });
  if (deps.rootless) return;
  const options = storage.options.filter((option) => !option.startsWith("fsgid="));
  const mounted = await deps.exec.run([
    "mount",
    "-t",
    "tmpfs",
    ...(options.length > 0 ? ["-o", options.join(",")] : []),
    storage.source === "" ? "tmpfs" : storage.source,
    target,
  ]);
  if (mounted.code !== 0) throw internal(`cannot mount ${storage.mountPoint}: ${mounted.stderr.trim()}`);
}

/** A directory on the VM's disk, shared by the pod's containers: a Kubernetes emptyDir. */
async function makeLocal(storage: Storage, target: string): Promise<void> {
  await mkdir(target, { recursive: true });
  const mode = storage.options.find((option) => option.startsWith("mode="))?.slice("mode=".length);
  await chmod(target, Number.parseInt(mode ?? "0755", 8));
}

async function pull(deps: StorageDeps, storage: Storage, rootfs: string): Promise<void> {
  await mkdir(rootfs, { recursive: true });
  if (storage.source === "pause" || isSandbox(pullMetadata(storage))) {
    await makePauseRootfs(rootfs);
    return;
  }
  for (const layer of await findImage(deps.imagesDir, storage.source)) {
    await applyLayer({ exec: deps.exec, privileged: !deps.rootless }, rootfs, layer);
  }
}

function pullMetadata(storage: Storage): Readonly<Record<string, string>> {
  const option = storage.driverOptions.find((text) => text.startsWith(PULL_OPTION));
  if (option === undefined) return {};
  try {
    return v.parse(PULL, JSON.parse(option.slice(PULL_OPTION.length))).metadata ?? {};
  } catch (cause) {
    throw internal(`the option ${PULL_OPTION} of ${storage.source} cannot be read`, { cause });
  }
}
