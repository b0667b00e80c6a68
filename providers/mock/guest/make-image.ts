import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { invalidConfig, unavailable } from "../../../src/errors/index.ts";
import type { Exec } from "../../../src/platform/index.ts";
import { normaliseImageName } from "./agent/index.ts";
import { type TarMember, writeTar } from "./write-tar.ts";

// A container image without a registry: OCI image specification, image-layout.md, manifest.md and config.md.

/** What goes into the image's one layer. */
export interface ImageContents {
  /** The host's static busybox: `/bin/busybox`, with a link in /bin for each of its applets. Needs its path. */
  readonly busybox?: string;
  /** Further files, by absolute path in the image; mode 0644 unless given. */
  readonly files?: Readonly<Record<string, { readonly content: string | Buffer; readonly mode?: number }>>;
  /** Commands that a container runs when its pod names none. */
  readonly cmd?: readonly string[];
}

/** Where Debian's busybox-static puts it. */
export const BUSYBOX_PATH = "/bin/busybox";

const FOLDERS: readonly TarMember[] = [
  { path: "bin", type: "directory", mode: 0o755 },
  { path: "dev", type: "directory", mode: 0o755 },
  { path: "etc", type: "directory", mode: 0o755 },
  { path: "proc", type: "directory", mode: 0o555 },
  { path: "root", type: "directory", mode: 0o700 },
  { path: "sys", type: "directory", mode: 0o555 },
  { path: "tmp", type: "directory", mode: 0o1777 },
  { path: "var", type: "directory", mode: 0o755 },
];

const ACCOUNTS: readonly TarMember[] = [
  file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
  file("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
];

/**
 * Writes an OCI layout into `dir`, which must be new or empty: one image for this machine, called `name` in full
 * (`docker.io/library/busybox:latest`). Returns the manifest's digest. Nothing is downloaded.
 */
export async function makeOciLayout(
  exec: Exec,
  dir: string,
  image: { readonly name: string; readonly contents: ImageContents },
): Promise<string> {
  if (existsSync(join(dir, "index.json")))
    throw invalidConfig(`${dir} holds an image already; give an empty folder`);
  await mkdir(join(dir, "blobs", "sha256"), { recursive: true });
  const tar = writeTar([...FOLDERS, ...ACCOUNTS, ...(await membersOf(exec, image.contents))]);
  const platform = { architecture: process.arch === "x64" ? "amd64" : process.arch, os: "linux" };
  const layer = await writeBlob(dir, "application/vnd.oci.image.layer.v1.tar+gzip", gzipSync(tar));
  const config = await writeJsonBlob(dir, "application/vnd.oci.image.config.v1+json", {
    ...platform,
    config: { Cmd: image.contents.cmd ?? ["/bin/sh"], Env: ["PATH=/bin"] },
    rootfs: { type: "layers", diff_ids: [`sha256:${sha256(tar)}`] },
    history: [{ created_by: "built from files of this machine" }],
  });
  const manifest = await writeJsonBlob(dir, "application/vnd.oci.image.manifest.v1+json", {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config,
    layers: [layer],
  });
  const name = normaliseImageName(image.name);
  const annotations = { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name };
  await writeFile(join(dir, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  const index = { schemaVersion: 2, manifests: [{ ...manifest, platform, annotations }] };
  await writeFile(join(dir, "index.json"), JSON.stringify(index));
  return manifest.digest;
}

async function membersOf(exec: Exec, contents: ImageContents): Promise<readonly TarMember[]> {
  const given = Object.entries(contents.files ?? {}).map(([path, { content, mode }]) =>
    file(path.replace(/^\/+/, ""), content, mode),
  );
  if (contents.busybox === undefined) return given;
  return [
    file("bin/busybox", await readFile(contents.busybox), 0o755),
    ...(await appletsOf(exec, contents.busybox)),
    ...given,
  ];
}

async function appletsOf(exec: Exec, busybox: string): Promise<readonly TarMember[]> {
  const listed = await exec.run([busybox, "--list"]);
  if (listed.code !== 0)
    throw unavailable(`${busybox} --list: ${listed.stderr.trim()}; install busybox-static`);
  const names = listed.stdout.split("\n").filter((name) => /^[\w.[-]+$/.test(name) && name !== "busybox");
  return names.map((name) => ({ path: `bin/${name}`, type: "symlink", mode: 0o777, linkTarget: "busybox" }));
}

function file(path: string, content: string | Buffer, mode = 0o644): TarMember {
  return { path, type: "file", mode, content: Buffer.from(content) };
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

async function writeBlob(dir: string, mediaType: string, bytes: Buffer): Promise<Descriptor> {
  const hex = sha256(bytes);
  await writeFile(join(dir, "blobs", "sha256", hex), bytes);
  return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
}

const writeJsonBlob = (dir: string, mediaType: string, value: object): Promise<Descriptor> =>
  writeBlob(dir, mediaType, Buffer.from(JSON.stringify(value)));
