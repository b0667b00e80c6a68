import { basename } from "node:path";

/** A line of /proc/self/mountinfo, as far as we need it. */
export interface MountPoint {
  readonly target: string;
  readonly type: string;
  readonly superOptions: readonly string[];
}

/** What `vm-boot.sh init` reads: directories to make in the VM's disk, and mounts in fstab's format. */
export interface RootFileSystemPlan {
  readonly directories: readonly string[];
  readonly fstab: string;
  /** The host's other file systems, in the same format; a VM can do without one that has gone meanwhile. */
  readonly extraFstab: string;
}

/** File systems whose content belongs in a VM's view of the host; all others are the kernel's windows, or made anew. */
const CONTENT_TYPES =
  /^(ext[234]|xfs|btrfs|overlay|tmpfs|9p|virtiofs|nfs4?|zfs|erofs|squashfs|f2fs|fuse\..*|fuseblk|fuse)$/;
const MADE_ANEW = ["/proc", "/sys", "/dev", "/run"];
/** Of the host's own containers: nothing of theirs belongs in a VM, and their engine must be able to unmount it. */
const CONTAINER_ENGINES = /^\/var\/lib\/(containers|containerd|docker|kubelet|cri-o|buildkit)(\/|$)/;

/** Decodes /proc/self/mountinfo (proc(5): octal escapes for blanks; optional fields end at ` - `). */
export function parseMountInfo(text: string): readonly MountPoint[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [left = "", right = ""] = line.split(" - ");
      const target = (left.split(" ")[4] ?? "").replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      );
      const [type = "", , options = ""] = right.split(" ");
      return { target, type, superOptions: options.split(",") };
    });
}

/** The cgroup hierarchies of the machine, found under /sys/fs/cgroup. */
export function cgroupMounts(mounts: readonly MountPoint[]): readonly MountPoint[] {
  return mounts.filter(
    ({ target, type }) => (type === "cgroup" || type === "cgroup2") && target.startsWith("/sys/fs/cgroup"),
  );
}

const cgroupLine = (disk: string, { target, type, superOptions }: MountPoint): string => {
  const at = `${disk}/root${target}`;
  if (type === "cgroup2") return `cgroup2 ${at} cgroup2 X-mount.mkdir 0 0`;
  const named = superOptions.find((option) => option.startsWith("name="));
  const controllers = superOptions.filter((option) => /^[a-z_]+$/.test(option) && !CGROUP_FLAGS.has(option));
  const options = named ? `none,${named}` : controllers.join(",");
  return `${basename(target)} ${at} cgroup X-mount.mkdir,${options} 0 0`;
};

const CGROUP_FLAGS = new Set(["rw", "ro", "xattr", "clone_children", "noprefix", "cpuset_v2_mode"]);

const isUnder = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

/**
 * The root of a VM: an overlay over the host's root and over each file system mounted below it, writes going to the tmpfs `disk`; fresh /proc,
 * /sys, /dev and /run; every cgroup hierarchy again; `<vmDir>/cidata` at /media/cidata. `isDirectory` tells folders from mounted files.
 */
export function planRootFileSystem(
  vmDir: string,
  mounts: readonly MountPoint[],
  isDirectory: (path: string) => boolean,
): RootFileSystemPlan {
  const disk = `${vmDir}/disk`;
  const directories = ["root"];
  const lines: string[] = [];
  const extra: string[] = [];
  const overlay = (target: string, into: string[]): void => {
    const layer = `layer${directories.length}`;
    directories.push(`${layer}/upper`, `${layer}/work`);
    const at = target === "/" ? `${disk}/root` : `${disk}/root${target}`;
    into.push(
      `overlay ${at} overlay lowerdir=${target},upperdir=${disk}/${layer}/upper,workdir=${disk}/${layer}/work 0 0`,
    );
  };
  overlay("/", lines);
  const seen = new Set(["/"]);
  for (const { target, type } of mounts) {
    const foreign =
      !CONTENT_TYPES.test(type) ||
      /[\s,:\\]/.test(target) ||
      seen.has(target) ||
      CONTAINER_ENGINES.test(target);
    if (foreign || MADE_ANEW.some((folder) => isUnder(target, folder))) continue;
    seen.add(target);
    if (isDirectory(target)) overlay(target, extra);
    else extra.push(`${target} ${disk}/root${target} none bind,ro 0 0`);
  }
  const cgroups = cgroupMounts(mounts);
  lines.push(
    `proc ${disk}/root/proc proc nosuid,nodev,noexec 0 0`,
    `sysfs ${disk}/root/sys sysfs nosuid,nodev,noexec 0 0`,
    ...(cgroups.some(({ target }) => target === "/sys/fs/cgroup")
      ? []
      : [`tmpfs ${disk}/root/sys/fs/cgroup tmpfs mode=0755 0 0`]),
    ...cgroups.map((mount) => cgroupLine(disk, mount)),
    `tmpfs ${disk}/root/run tmpfs mode=0755 0 0`,
    `tmpfs ${disk}/root/dev tmpfs mode=0755 0 0`,
    `devpts ${disk}/root/dev/pts devpts X-mount.mkdir,newinstance,ptmxmode=0666,mode=0620 0 0`,
    `tmpfs ${disk}/root/dev/shm tmpfs X-mount.mkdir,mode=1777 0 0`,
    `${vmDir}/cidata ${disk}/root/media/cidata none X-mount.mkdir,bind,ro 0 0`,
  );
  const text = (all: readonly string[]): string => all.map((line) => `${line}\n`).join("");
  return { directories, fstab: text(lines), extraFstab: text(extra) };
}
