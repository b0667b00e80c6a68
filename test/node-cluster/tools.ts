import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { systemExec } from "../../src/platform/index.ts";
import {
  ALL_PROGRAMS,
  type Built,
  buildPrograms,
  cacheDir,
  find,
  onPath,
  type Program,
} from "../cluster/programs.ts";

/** What a node needs besides Kubernetes, with the Debian package that has it. */
const TOOLS = {
  containerd: "containerd",
  "containerd-shim-runc-v2": "containerd",
  ctr: "containerd",
  runc: "runc",
  busybox: "busybox-static",
  ip: "iproute2",
  iptables: "iptables",
  buildah: "buildah",
} as const;

type Tool = keyof typeof TOOLS;

/** Packages that are unpacked into the cache where they are missing: to install containerd would start it. */
const UNPACKED = ["containerd", "containernetworking-plugins"] as const;

const CNI_DIRS = ["/opt/cni/bin", "/usr/lib/cni"];
const CNI_PLUGINS = ["bridge", "host-local", "loopback", "portmap"];

export interface Tools {
  readonly kubernetes: Readonly<Record<Program, string>>;
  readonly tools: Readonly<Record<Tool, string>>;
  /** Folder of the CNI plugins. */
  readonly cniDir: string;
  /** The stock Go shim, in PEERS_DIR or on PATH; without one peer pods are not tried, only their scheduling. */
  readonly shim: string | undefined;
}

const unpackDir = (): string => join(cacheDir(), "debian");

const toolPath = (tool: Tool): string | undefined =>
  onPath(tool, "/usr/sbin", "/sbin", join(unpackDir(), "usr/bin"), join(unpackDir(), "usr/sbin"));

function cniDir(): string | undefined {
  const folders = [...CNI_DIRS, join(unpackDir(), "usr/lib/cni")];
  return folders.find((folder) => CNI_PLUGINS.every((plugin) => find(plugin, [folder]) !== undefined));
}

/** Unpacks Debian packages into the cache. What is missing afterwards is found by who looks for it. */
async function unpack(names: readonly string[]): Promise<void> {
  const dir = unpackDir();
  mkdirSync(dir, { recursive: true });
  process.stderr.write(`node: unpacking Debian's ${names.join(", ")} into ${dir} (NO_APT=1 skips this)\n`);
  // As root apt would change to a user of its own, who may not write here.
  const download = `apt-get -qq -o APT::Sandbox::User=root download ${names.join(" ")}`;
  const script = `cd "$0" && { ${download} || { apt-get -qq update && ${download}; }; } &&
    for deb in *.deb; do dpkg-deb -x "$deb" . && rm "$deb" || exit; done`;
  const { code, stderr } = await systemExec.run(["flock", dir, "sh", "-c", script, dir]);
  if (code !== 0) process.stderr.write(`node: ${stderr.trim()}\n`);
}

/** Finds and builds what a node needs. Resolves to what is missing when not all can be had. */
export async function provideTools(peersDir: string): Promise<Tools | { readonly missing: string }> {
  const isMissing = (name: (typeof UNPACKED)[number]): boolean =>
    name === "containerd"
      ? toolPath("containerd") === undefined || toolPath("containerd-shim-runc-v2") === undefined
      : cniDir() === undefined;
  const wanted = UNPACKED.filter(isMissing);
  if (wanted.length > 0 && !process.env["NO_APT"] && existsSync("/usr/bin/apt-get")) await unpack(wanted);

  const tools: Partial<Record<Tool, string>> = {};
  const missing: string[] = [];
  for (const [tool, debian] of Object.entries(TOOLS) as [Tool, string][]) {
    const path = toolPath(tool);
    if (path === undefined) missing.push(`${tool} (Debian package ${debian})`);
    else tools[tool] = path;
  }
  const plugins = cniDir();
  if (plugins === undefined) missing.push("CNI plugins (Debian package containernetworking-plugins)");
  if (missing.length > 0 || plugins === undefined) return { missing: `needs ${missing.join(", ")}` };

  const kubernetes: Built<Program> = await buildPrograms(ALL_PROGRAMS);
  if ("missing" in kubernetes) return kubernetes;
  const shim = find("containerd-shim-kata-v2", [peersDir]) ?? onPath("containerd-shim-kata-v2");
  // Every tool has been given its path above.
  return { kubernetes: kubernetes.paths, tools: tools as Record<Tool, string>, cniDir: plugins, shim };
}
