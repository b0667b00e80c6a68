import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Exec } from "../../src/platform/index.ts";

/** What containers run from: busybox and nothing else. */
export interface TestImage {
  /** Folder in OCI layout. */
  readonly layoutDir: string;
  readonly manifest: { readonly digest: string; readonly mediaType: string };
  /** The same root file system as a folder, for the pod VM's image hub. */
  readonly rootFs: string;
  /** OCI bundle of the pause container. */
  readonly pauseBundle: string;
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

async function makeRootFs(dir: string, busybox: string, exec: Exec): Promise<string> {
  const rootFs = join(dir, "rootfs");
  for (const folder of ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp"])
    await mkdir(join(rootFs, folder), { recursive: true });
  await copyFile(busybox, join(rootFs, "bin", "busybox"));
  await chmod(join(rootFs, "bin", "busybox"), 0o755);
  const applets = (await exec.run([busybox, "--list"])).stdout.split("\n");
  for (const applet of applets)
    if (applet !== "" && applet !== "busybox")
      await symlink("busybox", join(rootFs, "bin", basename(applet)));
  await writeFile(
    join(rootFs, "etc", "passwd"),
    "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
  );
  return rootFs;
}

/** kata-agent copies only the program of the pause bundle (image.rs, unpack_pause_image), so it has to be a static one. */
async function makePauseBundle(dir: string, busybox: string): Promise<string> {
  const bundle = join(dir, "pause");
  await mkdir(join(bundle, "rootfs"), { recursive: true });
  await copyFile(busybox, join(bundle, "rootfs", "busybox"));
  const config = {
    ociVersion: "1.0.2",
    process: {
      user: { uid: 0, gid: 0 },
      args: ["/busybox", "sleep", "2147483647"],
      env: ["PATH=/"],
      cwd: "/",
    },
    root: { path: "rootfs", readonly: true },
    linux: {},
  };
  await writeFile(join(bundle, "config.json"), JSON.stringify(config));
  return bundle;
}

/** Makes the image in `dir` from a static busybox. Formats: OCI image-spec 1.0, image-layout.md and config.md. */
export async function makeImage(dir: string, busybox: string, exec: Exec): Promise<TestImage> {
  const rootFs = await makeRootFs(dir, busybox, exec);
  const blobs = join(dir, "layout", "blobs", "sha256");
  await mkdir(blobs, { recursive: true });
  const put = async (mediaType: string, bytes: Uint8Array) => {
    await writeFile(join(blobs, sha256(bytes)), bytes);
    return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length };
  };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

  const layerFile = join(dir, "layer.tar");
  await exec.run(["tar", "--numeric-owner", "--owner=0", "--group=0", "-C", rootFs, "-cf", layerFile, "."]);
  const layer = await put("application/vnd.oci.image.layer.v1.tar", await readFile(layerFile));
  const config = await put(
    "application/vnd.oci.image.config.v1+json",
    json({
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      os: "linux",
      config: { Env: ["PATH=/bin"], Cmd: ["/bin/sh"] },
      rootfs: { type: "layers", diff_ids: [layer.digest] },
    }),
  );
  const manifestType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = await put(
    manifestType,
    json({ schemaVersion: 2, mediaType: manifestType, config, layers: [layer] }),
  );
  const pauseBundle = await makePauseBundle(dir, busybox);
  return { layoutDir: join(dir, "layout"), manifest, rootFs, pauseBundle };
}
