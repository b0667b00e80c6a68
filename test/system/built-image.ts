import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemExec } from "../../src/platform/index.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const BUILDAH_ENV = { STORAGE_DRIVER: "vfs", BUILDAH_ISOLATION: "chroot" };
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What a pod says of a container's rights. */
export interface ContainerRights {
  readonly user: number;
  /** As a pod names them: NET_ADMIN. */
  readonly capabilities: readonly string[];
}

export interface ContainerRun extends ContainerRights {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Shell commands before, in the same namespaces with all rights: the node. */
  readonly node?: string;
}

export interface ContainerResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function buildah(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await systemExec.run(["buildah", ...args], { env: BUILDAH_ENV });
  if (code !== 0) throw new Error(`buildah ${args[0]}: ${stderr.trim()}`);
  return stdout.trim();
}

/** The image, built from this very tree, and its file system. */
export class BuiltImage implements AsyncDisposable {
  readonly rootFs: string;
  readonly #undo: AsyncDisposableStack;

  private constructor(rootFs: string, undo: AsyncDisposableStack) {
    this.rootFs = rootFs;
    this.#undo = undo;
  }

  /** `make image` under a name of its own. */
  static async build(): Promise<BuiltImage> {
    await using undo = new AsyncDisposableStack();
    const name = `localhost/cloud-api-adaptor-test:${randomUUID()}`;
    undo.defer(async () => void (await systemExec.run(["buildah", "rmi", name], { env: BUILDAH_ENV })));
    const env = { ...BUILDAH_ENV, IMAGE: name, TOOL: "buildah" };
    const { code, stderr } = await systemExec.run([join(ROOT, "deploy/image/build.sh")], { env });
    if (code !== 0) throw new Error(`deploy/image/build.sh: ${stderr.trim().slice(-2000)}`);
    const container = await buildah("from", "--pull-never", name);
    undo.defer(async () => void (await buildah("rm", container)));
    const rootFs = await buildah("mount", container);
    return new BuiltImage(rootFs, undo.move());
  }

  /**
   * Runs a command as in a pod on the node's network: read-only root, no way to gain rights, only these capabilities. The node is a
   * network and mount namespace of its own.
   */
  async run(run: ContainerRun): Promise<ContainerResult> {
    const bundle = await mkdtemp(join(tmpdir(), "peerpods-bundle-"));
    try {
      await writeFile(join(bundle, "config.json"), JSON.stringify(this.#spec(run)));
      const id = `peerpods-${randomUUID()}`;
      const script = [
        "set -e",
        "ip link set lo up",
        "mkdir -p /run/netns && mount -t tmpfs none /run/netns && mount --make-rshared /run/netns",
        run.node ?? "",
        `exec runc --root '${bundle}/state' run --bundle '${bundle}' '${id}'`,
      ];
      return await systemExec.run(["unshare", "--net", "--mount", "sh", "-c", script.join("\n")]);
    } finally {
      await rm(bundle, { recursive: true, force: true });
    }
  }

  #spec(run: ContainerRun): object {
    const capabilities = run.capabilities.map((name) => `CAP_${name}`);
    const bind = (path: string, ...options: readonly string[]) => ({
      destination: path,
      type: "bind",
      source: path,
      options: ["rbind", ...options],
    });
    return {
      ociVersion: "1.0.2",
      process: {
        user: { uid: run.user, gid: run.user },
        args: run.args,
        env: [`PATH=${PATH}`, ...Object.entries(run.env ?? {}).map(([key, value]) => `${key}=${value}`)],
        cwd: "/",
        noNewPrivileges: true,
        capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      },
      root: { path: this.rootFs, readonly: true },
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
        { destination: "/tmp", type: "tmpfs", source: "tmpfs" },
        bind("/sys", "ro"),
        bind("/run/netns", "rslave"),
      ],
      linux: { namespaces: [{ type: "pid" }, { type: "mount" }, { type: "ipc" }] },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }
}
