import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { BUSYBOX_PATH, makeOciLayout } from "../../providers/mock/guest/index.ts";
import { systemExec } from "../../src/platform/index.ts";
import type { CpioMember } from "./cpio.ts";

const ROOT = join(import.meta.dirname, "../..");
const MAIN = "providers/mock/guest/main.js";
/** The container image that every pod VM has; there is no registry client in it to pull others. */
export const CONTAINER_IMAGE = "docker.io/library/busybox:latest";

const Package = v.object({ dependencies: v.optional(v.record(v.string(), v.string()), {}) });

/** Files and folders below `dir` as members below `place`, itself included. */
function below(dir: string, place: string): readonly CpioMember[] {
  const members = readdirSync(dir, { recursive: true, encoding: "utf8" })
    .sort()
    .map((name): CpioMember => {
      const path = join(dir, name);
      if (statSync(path).isDirectory()) return { path: join(place, name), type: "directory", mode: 0o755 };
      return { path: join(place, name), type: "file", mode: 0o644, content: readFileSync(path) };
    });
  return [{ path: place, type: "directory", mode: 0o755 }, ...members];
}

/** Packages that the compiled guest names, and theirs. */
function packagesOf(compiled: string): ReadonlySet<string> {
  const found = new Set<string>();
  const add = (name: string): void => {
    if (found.has(name)) return;
    found.add(name);
    const text = readFileSync(join(ROOT, "node_modules", name, "package.json"), "utf8");
    for (const other of Object.keys(v.parse(Package, JSON.parse(text)).dependencies)) add(other);
  };
  for (const path of readdirSync(compiled, { recursive: true, encoding: "utf8" })) {
    if (!path.endsWith(".js")) continue;
    const text = readFileSync(join(compiled, path), "utf8");
    for (const [, name] of text.matchAll(/from "((?:@[\w-]+\/)?[\w-]+)[^":]*"/g)) {
      if (name !== undefined && existsSync(join(ROOT, "node_modules", name))) add(name);
    }
  }
  return found;
}

/** The guest as JavaScript, with its packages: in the VM there is no time to strip types. */
function compile(work: string): string {
  const out = join(work, "guest");
  const project = join(import.meta.dirname, "tsconfig.json");
  execFileSync(join(ROOT, "node_modules/.bin/tsc"), ["-p", project, "--outDir", out], { stdio: "inherit" });
  writeFileSync(join(out, "package.json"), '{"type":"module"}\n');
  for (const name of packagesOf(out)) {
    const from = join(ROOT, "node_modules", name);
    const wanted = (path: string): boolean =>
      statSync(path).isDirectory()
        ? !/\/(test|tests|benchmarks|docs|examples)$/.test(path)
        : /\.(c?js|mjs|json)$/.test(path);
    cpSync(from, join(out, "node_modules", name), { recursive: true, filter: wanted });
  }
  return out;
}

/** Loads the guest once, so that V8's compiled code comes with the image; it ends at the setting that it refuses. */
function warmUp(compiled: string): void {
  const { status, stderr } = spawnSync(process.execPath, [join(compiled, MAIN)], {
    encoding: "utf8",
    env: {
      NODE_COMPILE_CACHE: join(compiled, "compiled"),
      NODE_COMPILE_CACHE_PORTABLE: "1",
      PEERPOD_GUEST_PORT: "none",
    },
  });
  if (status !== 1 || !stderr.includes("PEERPOD_GUEST_PORT"))
    throw new Error(`the guest does not run: ${stderr}`);
}

/** The guest with its packages, and a folder of container images. */
export async function guestMembers(work: string): Promise<readonly CpioMember[]> {
  const compiled = compile(work);
  warmUp(compiled);
  const images = join(work, "images");
  mkdirSync(images);
  await makeOciLayout(systemExec, join(images, "busybox"), {
    name: CONTAINER_IMAGE,
    contents: { busybox: BUSYBOX_PATH },
  });
  return [
    ...below(compiled, "opt/guest"),
    { path: "opt/peerpod", type: "directory", mode: 0o755 },
    ...below(images, "opt/peerpod/images"),
  ];
}
