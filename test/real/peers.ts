import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import type { Exec } from "../../src/platform/index.ts";

/** A stock Kata shim. */
export interface ShimPeer {
  readonly name: "Go" | "Rust";
  readonly path: string;
  /** What the Rust shim needs for images that the pod VM pulls: it cannot be forced to, as the Go shim can. */
  readonly nydus: { readonly snapshotter: string; readonly mountHelper: string } | undefined;
}

/** The programs of others that the tests run with, by the names they are installed under. */
export interface Peers {
  readonly programs: Readonly<Record<Program, string>>;
  readonly shims: readonly ShimPeer[];
  /** Folder of the CNI plugins. */
  readonly cniDir: string;
}

const PROGRAMS = [
  "containerd",
  "agent-protocol-forwarder",
  "process-user-data",
  "kata-agent",
  "busybox",
  "ip",
  "iptables-save",
  "ss",
] as const;
type Program = (typeof PROGRAMS)[number];

const SHIMS = [
  { name: "Go", file: "containerd-shim-kata-v2" },
  { name: "Rust", file: "containerd-shim-kata-rs" },
] as const;

const CNI_DIRS = ["/opt/cni/bin", "/usr/lib/cni"];
const CNI_PLUGINS = ["bridge", "host-local", "loopback"];

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** Finds the peers in `dir` (may be ""), then on PATH. Resolves to what is missing when not all are there. */
export function findPeers(dir: string, path: string): Peers | { readonly missing: readonly string[] } {
  const folders = [dir, ...path.split(delimiter)].filter((folder) => folder !== "");
  const find = (file: string): string | undefined =>
    folders.map((folder) => join(folder, file)).find(isExecutable);
  const programs: Record<Program, string> = {
    containerd: "",
    "agent-protocol-forwarder": "",
    "process-user-data": "",
    "kata-agent": "",
    busybox: "",
    ip: "",
    "iptables-save": "",
    ss: "",
  };
  const missing: string[] = [];
  for (const program of PROGRAMS) {
    const found = find(program);
    if (found === undefined) missing.push(program);
    else programs[program] = found;
  }
  const snapshotter = find("containerd-nydus-grpc");
  const mountHelper = find("nydus-overlayfs");
  const nydus = snapshotter && mountHelper ? { snapshotter, mountHelper } : undefined;
  const shims = SHIMS.flatMap(({ name, file }): readonly ShimPeer[] => {
    const path = find(file);
    if (path === undefined || (name === "Rust" && nydus === undefined)) return [];
    return [{ name, path, nydus: name === "Rust" ? nydus : undefined }];
  });
  if (shims.length === 0) missing.push("containerd-shim-kata-v2");
  const cniDir = [...CNI_DIRS, join(dir, "cni")].find((folder) =>
    CNI_PLUGINS.every((plugin) => isExecutable(join(folder, plugin))),
  );
  if (cniDir === undefined) missing.push(`CNI plugins (${CNI_PLUGINS.join(", ")})`);
  if (missing.length > 0 || cniDir === undefined) return { missing };
  return { programs, shims, cniDir };
}

/** What each peer says of its version, for the report. */
export async function versionsOf(peers: Peers, exec: Exec): Promise<ReadonlyMap<string, string>> {
  const say = async (argv: readonly [string, ...string[]], pattern: RegExp): Promise<string> => {
    const { stdout, stderr } = await exec.run(argv);
    return pattern.exec(`${stdout}${stderr}`)?.slice(1).join(" ") ?? "unknown";
  };
  const versions = new Map<string, string>();
  versions.set("containerd", await say([peers.programs.containerd, "--version"], /\s(v?\d+\.\d+\.\d+\S*)/));
  for (const shim of peers.shims)
    versions.set(
      `shim (${shim.name})`,
      await say([shim.path, "--version"], /version[:) ]*\s*"?(\d+\.\d+\.\d+\S*?)"?,?\s/i),
    );
  versions.set("kata-agent", await say([peers.programs["kata-agent"], "--version"], /(\d+\.\d+\.\d+)/));
  versions.set(
    "agent-protocol-forwarder",
    await say([peers.programs["agent-protocol-forwarder"], "--version"], /version (\S+)\s+commit: (\S+)/),
  );
  versions.set("kernel", await say(["uname", "-r"], /(\S+)/));
  return versions;
}
