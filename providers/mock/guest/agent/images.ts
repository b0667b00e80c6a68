import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { describeError, internal } from "../../../../src/errors/index.ts";
import type { Layer } from "./unpack.ts";

// OCI image layout and manifest: OCI image specification, image-layout.md and manifest.md.

const DESCRIPTOR = v.object({
  mediaType: v.string(),
  digest: v.pipe(v.string(), v.regex(/^[a-z\d]+:[a-f\d]+$/)),
  annotations: v.optional(v.record(v.string(), v.string()), {}),
});
const INDEX = v.object({ manifests: v.array(DESCRIPTOR) });
const MANIFEST = v.object({ layers: v.array(DESCRIPTOR) });

/** Annotations of an index's entries that carry an image's name. */
const NAME_KEYS = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/** The full form of an image's name, as a container runtime completes it: `busybox` is `docker.io/library/busybox:latest`. */
export function normaliseImageName(name: string): string {
  const [first = "", ...rest] = name.split("/");
  const hasHost = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
  const withHost = hasHost ? name : `docker.io/${rest.length > 0 ? "" : "library/"}${name}`;
  const last = withHost.slice(withHost.lastIndexOf("/"));
  return last.includes(":") || last.includes("@") ? withHost : `${withHost}:latest`;
}

const blobPath = (layout: string, digest: string): string => join(layout, "blobs", digest.replace(":", "/"));

async function readJson<T>(schema: v.GenericSchema<unknown, T>, path: string): Promise<T> {
  try {
    return v.parse(schema, JSON.parse(await readFile(path, "utf8")));
  } catch (cause) {
    throw internal(`cannot read ${path}: ${describeError(cause)}`, { cause });
  }
}

/** Folders of `imagesDir` that are OCI layouts, itself included. */
async function layoutsIn(imagesDir: string): Promise<readonly string[]> {
  const names = await readdir(imagesDir, { withFileTypes: true }).catch(() => []);
  const folders = names.filter((entry) => entry.isDirectory() || entry.isSymbolicLink());
  return [imagesDir, ...folders.map((entry) => join(imagesDir, entry.name))];
}

/**
 * The layers of the image called `name`, lowest first, from the OCI layouts on disk that stand for the registry. An image
 * is found by its annotated name, or by its manifest's digest. Throws `internal`, as the agent does when a pull fails.
 */
export async function findImage(imagesDir: string, name: string): Promise<readonly Layer[]> {
  const wanted = normaliseImageName(name);
  const known: string[] = [];
  for (const layout of await layoutsIn(imagesDir)) {
    const raw = await readFile(join(layout, "index.json"), "utf8").catch(() => undefined);
    if (raw === undefined) continue;
    const index = await readJson(INDEX, join(layout, "index.json"));
    for (const manifest of index.manifests) {
      const names = NAME_KEYS.flatMap((key) => manifest.annotations[key] ?? []).map(normaliseImageName);
      known.push(...names);
      if (!names.includes(wanted) && !wanted.endsWith(`@${manifest.digest}`)) continue;
      const { layers } = await readJson(MANIFEST, blobPath(layout, manifest.digest));
      return layers.map((layer) => ({ path: blobPath(layout, layer.digest), mediaType: layer.mediaType }));
    }
  }
  const have = known.length === 0 ? "none" : [...new Set(known)].join(", ");
  throw internal(
    `failed to pull image ${wanted}: no OCI layout below ${imagesDir} has it (there are: ${have})`,
  );
}
