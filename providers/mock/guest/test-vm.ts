import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { env as hostEnv } from "node:process";
import { createInterface } from "node:readline";
import { connect, type TLSSocket } from "node:tls";
import { AgentServiceDefinition } from "../../../src/gen/agent/agent.ts";
import { HealthDefinition } from "../../../src/gen/agent/health.ts";
import { systemExec } from "../../../src/platform/index.ts";
import { createClient, type ServiceClient, TtrpcClient } from "../../../src/ttrpc/index.ts";
import { BUSYBOX_PATH, makeOciLayout } from "./make-image.ts";

// For tests: a small VM of namespaces (mount, pid, uts, ipc, cgroup) that runs the guest, and a client of it. The network
// is the machine's: the guest listens on loopback and has no pod network.

const fixture = (name: string): string =>
  readFileSync(new URL(`../../../test/fixtures/user-data/${name}`, import.meta.url), "utf8");

/** The VM name that the fixtures' server certificate is for. */
const SERVER_NAME = "podvm-r2-66e64b32";
const IMAGE = "docker.io/library/busybox:latest";

const { GUEST_LOG = "" } = hostEnv;

const works = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0;

/** Whether namespaces can be made here: root may lack the right in a container. */
export const canMakeNamespaces: boolean =
  process.getuid?.() === 0 &&
  works("unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "true");

const canMakeCgroups = (): boolean => {
  try {
    new TestCgroup(`peerpod-probe-${randomBytes(6).toString("hex")}`).remove();
    return true;
  } catch {
    // Read-only or not there: containers cannot run.
    return false;
  }
};

/** A guest that runs. */
export interface TestVm {
  readonly port: number;
  /** Its private folder, with `images` below. */
  readonly folder: string;
  readonly rootless: boolean;
  /** Opens a connection of its own. */
  connect(): Promise<TestConnection>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface TestConnection {
  readonly agent: ServiceClient<typeof AgentServiceDefinition>;
  readonly health: ServiceClient<typeof HealthDefinition>;
  readonly socket: TLSSocket;
  readonly client: TtrpcClient;
}

export interface TestVmOptions {
  readonly rootless?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** Another name of the image. */
  readonly image?: string;
}

/** apf.json of the fixtures without its network. */
export const apfWithoutNetwork = (): string => {
  const apf: unknown = JSON.parse(fixture("apf.json"));
  return JSON.stringify({ ...(typeof apf === "object" ? apf : {}), "pod-network": null });
};

export const cloudConfig = (files: Readonly<Record<string, string>>): string =>
  ["#cloud-config", "", "write_files:"]
    .concat(
      Object.entries(files).flatMap(([path, content]) => [
        `  - path: ${path}`,
        "    content: |",
        ...content.split("\n").map((line) => `      ${line}`),
      ]),
    )
    .join("\n");

/** What becomes of the machine's cgroup tree: one folder per hierarchy, so that several VMs do not meet. */
class TestCgroup {
  readonly folders: readonly string[];

  constructor(name: string) {
    const root = "/sys/fs/cgroup";
    const isV2 = existsSync(join(root, "cgroup.controllers"));
    const names = isV2
      ? [""]
      : readdirSync(root).filter((entry) => statSync(join(root, entry)).isDirectory());
    this.folders = names.map((entry) => join(root, entry, name));
    for (const folder of this.folders) {
      mkdirSync(folder);
      // A new cpuset is empty, and an empty one takes no process.
      for (const file of ["cpuset.cpus", "cpuset.mems"]) {
        const parent = join(folder, "..", file);
        if (folder.includes("/cpuset/") && existsSync(parent))
          writeFileSync(join(folder, file), readFileSync(parent));
      }
    }
  }

  remove(): void {
    for (const folder of this.folders) removeTree(folder);
  }
}

function removeTree(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(folder, entry.name));
  }
  rmdirSync(folder);
}

/** Whether this machine can run real containers in a VM of namespaces. */
export const canRunContainers: boolean = canMakeNamespaces && works("runc", "--version") && canMakeCgroups();

/** Run by the VM's first shell: $1 is the folder of user data and images, the rest the guest's command. */
const BOOT = `
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t proc proc /proc
names=$(ls /sys/fs/cgroup)
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
  mount -t tmpfs tmpfs /sys/fs/cgroup
  for name in $names; do
    mkdir "/sys/fs/cgroup/$name"
    case "$name" in
      unified) ;;
      systemd) mount -t cgroup -o none,name=systemd cgroup "/sys/fs/cgroup/$name" ;;
      *) mount -t cgroup -o "$name" cgroup "/sys/fs/cgroup/$name" ;;
    esac
  done
fi
"$@" &
trap 'kill -TERM $!' TERM
wait $! || wait $!
`;

/** Boots a guest. Rejects with its log when it does not come up. */
export async function bootTestVm(options: TestVmOptions = {}): Promise<TestVm> {
  const rootless = options.rootless ?? false;
  const folder = await mkdtemp(join(tmpdir(), "peerpod-guest-"));
  const userData = join(folder, "user-data");
  await writeFile(userData, cloudConfig({ "/run/peerpod/apf.json": apfWithoutNetwork() }));
  await makeOciLayout(systemExec, join(folder, "images", "busybox"), {
    name: options.image ?? IMAGE,
    contents: existsSync(BUSYBOX_PATH) ? { busybox: BUSYBOX_PATH } : {},
  });
  const env: Record<string, string> = {
    ...hostEnv,
    PEERPOD_GUEST_USER_DATA: userData,
    PEERPOD_GUEST_IMAGES: join(folder, "images"),
    PEERPOD_GUEST_ADDRESS: "127.0.0.1",
    PEERPOD_GUEST_PORT: "0",
    ...(rootless ? { PEERPOD_GUEST_ROOTLESS: "1", PEERPOD_GUEST_ROOT: join(folder, "root") } : {}),
    ...options.env,
  };
  const main = [process.execPath, new URL("main.ts", import.meta.url).pathname];
  const cgroup = rootless ? undefined : new TestCgroup(`peerpod-guest-${randomBytes(6).toString("hex")}`);
  const child = rootless
    ? spawn(main[0] ?? "", main.slice(1), { env, stdio: ["ignore", "ignore", "pipe"] })
    : spawnInNamespaces(cgroup?.folders ?? [], main, env);
  const port = await portOf(child);
  const sockets: TLSSocket[] = [];
  return {
    port,
    folder,
    rootless,
    connect: () => connectTo(port, sockets),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      const exited = once(child, "exit");
      const inner = rootless ? child.pid : firstChildOf(child.pid ?? 0);
      if (inner === undefined) child.kill("SIGKILL");
      else process.kill(inner, "SIGTERM");
      await exited;
      cgroup?.remove();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function spawnInNamespaces(
  cgroups: readonly string[],
  main: readonly string[],
  env: Record<string, string>,
): ChildProcess {
  const enter = 'for dir in $CGROUPS; do echo $$ > "$dir/cgroup.procs" || true; done; exec "$@"';
  const namespaces = ["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child=SIGKILL"];
  const argv = ["-c", enter, "sh", "unshare", ...namespaces, "sh", "-c", BOOT, "boot", ...main];
  return spawn("sh", argv, {
    env: { ...env, CGROUPS: cgroups.join(" ") },
    stdio: ["ignore", "ignore", "pipe"],
  });
}

/** unshare passes no signal on: the one for the VM goes to its first process. */
function firstChildOf(pid: number): number | undefined {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return children === "" ? undefined : Number(children.split(" ")[0]);
}

async function portOf(child: ChildProcess): Promise<number> {
  const lines: string[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  if (child.stderr === null) throw new Error("the guest has no stderr");
  createInterface(child.stderr).on("line", (line) => {
    lines.push(line);
    const port = /"port":(\d+)/.exec(line)?.[1];
    if (port !== undefined) resolve(Number(port));
    if (GUEST_LOG === "1") process.stderr.write(`${line}\n`);
  });
  child.once("exit", (code) => reject(new Error(`the guest ended with ${code}: ${lines.join("\n")}`)));
  return promise;
}

async function connectTo(port: number, sockets: TLSSocket[]): Promise<TestConnection> {
  const socket = connect({
    host: "127.0.0.1",
    port,
    servername: SERVER_NAME,
    ca: fixture("throwaway-server-ca.crt"),
    cert: fixture("throwaway-client.crt"),
    key: fixture("throwaway-client.key"),
  });
  sockets.push(socket);
  await once(socket, "secureConnect");
  const client = new TtrpcClient(socket);
  return {
    socket,
    client,
    agent: createClient(AgentServiceDefinition, client),
    health: createClient(HealthDefinition, client),
  };
}
