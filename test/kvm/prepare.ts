import { spawnSync } from "node:child_process";
import { existsSync, globSync, statSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../node/child.ts";

/** Commands that VMs need, and the Debian package of each. */
const TOOLS: readonly (readonly [string, string])[] = [
  ["qemu-system-x86_64", "qemu-system-x86"],
  ["qemu-img", "qemu-utils"],
  ["dnsmasq", "dnsmasq-base"],
  ["nft", "nftables"],
  ["ip", "iproute2"],
  ["flock", "util-linux"],
];
const PLACES = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
const IMAGE = join(ROOT, ".work/podvm");
/** What the image is made of, besides Debian's packages. */
const SOURCES = ["src/**/*.ts", "providers/mock/guest/**/*.ts", "test/podvm-image/*", "package-lock.json"];

const isThere = (command: string): boolean => PLACES.some((dir) => existsSync(join(dir, command)));
const missing = (): readonly string[] => [
  ...new Set(TOOLS.filter(([command]) => !isThere(command)).map(([, name]) => name)),
];

/** Why no VM can be made here; undefined when one can. */
export function whyNoVms(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  const packages = missing();
  return packages.length === 0 ? undefined : `needs Debian packages: apt-get install ${packages.join(" ")}`;
}

function aptGet(...args: readonly string[]): boolean {
  const { status } = spawnSync("apt-get", ["-qq", "-y", ...args], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  return status === 0;
}

/** Installs what is missing, as root and unless NO_APT is set. Returns why VMs still cannot be made. */
export function provideQemu(): string | undefined {
  const packages = missing();
  if (packages.length > 0 && process.getuid?.() === 0 && !process.env["NO_APT"]) {
    console.log(`installing Debian packages: ${packages.join(" ")} (NO_APT=1 skips this)`);
    const install = (): boolean => aptGet("install", "--no-install-recommends", ...packages);
    if (!install() && aptGet("update")) install();
  }
  return whyNoVms();
}

/** The folder of the pod VM image, built when it is not there or older than its sources. Throws when it cannot be built. */
export function providePodVmImage(): string {
  const initrd = join(IMAGE, "initrd.img");
  const builtMs = existsSync(initrd) ? statSync(initrd).mtimeMs : 0;
  const newest = Math.max(
    ...SOURCES.flatMap((glob) => globSync(glob, { cwd: ROOT }))
      .filter((path) => !path.endsWith(".test.ts"))
      .map((path) => statSync(join(ROOT, path)).mtimeMs),
  );
  if (builtMs < newest) {
    const program = join(ROOT, "test/podvm-image/build.ts");
    const flags = ["--disable-warning=ExperimentalWarning", program];
    const { status } = spawnSync(process.execPath, flags, { cwd: ROOT, stdio: "inherit" });
    if (status !== 0) throw new Error("the pod VM image could not be built: make podvm-image");
  }
  return IMAGE;
}
