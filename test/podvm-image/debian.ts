import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** What the image is made of, besides the kernel. */
const PACKAGES = [
  ...["busybox-static", "iproute2", "iptables", "runc", "util-linux", "bsdutils", "coreutils", "libc6"],
  ...["libgcc-s1", "libstdc++6", "libmnl0", "libelf1", "libbpf1", "libcap2", "libxtables12", "libip4tc2"],
  ...["libip6tc2", "libnetfilter-conntrack3", "libnfnetlink0", "libselinux1", "libpcre2-8-0", "libseccomp2"],
  ...[
    "zlib1g",
    "libtinfo6",
    "libatomic1",
    "libutempter0",
    "libdb5.3",
    "libbsd0",
    "libmd0",
    "libtirpc3",
    "mount",
  ],
  ...["libmount1", "libblkid1", "libsmartcols1"],
];
const KERNEL = "linux-image-cloud-amd64";

/** Debian packages, unpacked. */
export interface Unpacked {
  readonly root: string;
  readonly kernelRelease: string;
}

function run(file: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(file, args, { cwd, encoding: "utf8" });
  if (status === 0) return stdout;
  const reason = error?.message ?? `${stderr}${stdout}`.trim().split("\n").slice(0, 5).join("; ");
  throw new Error(
    `${file} ${args.slice(0, 3).join(" ")}: ${reason}; the image is built on Debian for amd64, with apt`,
  );
}

/** The versioned package of the kernel that the general one stands for. */
function kernelPackage(cwd: string): string {
  const found = /^Depends: (linux-image-\S+)/m.exec(
    run("apt-cache", ["show", "--no-all-versions", KERNEL], cwd),
  )?.[1];
  if (found === undefined) throw new Error(`apt-cache does not know ${KERNEL}; run apt-get update`);
  return found;
}

/** Downloads the packages with apt and unpacks them below `work`. Nothing is installed. */
export function unpackPackages(work: string, say: (text: string) => void): Unpacked {
  const [debs, root] = [join(work, "debs"), join(work, "root")];
  mkdirSync(debs);
  mkdirSync(root);
  const kernel = kernelPackage(debs);
  const names = [kernel, ...PACKAGES];
  say(`downloading ${names.length} Debian packages`);
  run("apt-get", ["-qq", "-o", "APT::Sandbox::User=root", "download", ...names], debs);
  for (const deb of readdirSync(debs)) run("dpkg-deb", ["--extract", deb, root], debs);
  return { root, kernelRelease: kernel.replace("linux-image-", "") };
}
