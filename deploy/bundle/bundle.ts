import { mkdir, mkdtemp, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type OutputChunk, rolldown } from "rolldown";
import { GROUPS } from "./groups.ts";
import { noticesOf } from "./notices.ts";
import { plainBuiltins, withoutUnused } from "./plugins.ts";

/** Programs of the bundle, by the name of their file. */
const ENTRIES = { main: "src/cli/main.ts", guest: "providers/mock/guest/main.ts" } as const;

/** The kernel stamps files by its tick: what changes in the tick of our own stamp must count as newer. */
const TICK_MS = 20;

/** A finished bundle, as far as it is of interest to who built it. */
export interface Bundle {
  readonly chunks: readonly OutputChunk[];
  /** Names of the packages in it. */
  readonly packages: readonly string[];
}

/**
 * Bundles the program of the repository `root` into `<root>/dist`, in place of what is there: `program/*.mjs`, `built` (the
 * number of the folder src, as old as the sources that were read), and `THIRD-PARTY-NOTICES`.
 */
export async function bundle(root: string): Promise<Bundle> {
  const startedMs = Date.now() - TICK_MS;
  await mkdir(join(root, ".work"), { recursive: true });
  const work = await mkdtemp(join(root, ".work", "bundle-"));
  try {
    const chunks = await build(root, join(work, "dist", "program"));
    const notices = await noticesOf(root, chunks);
    await writeFile(join(work, "dist", "THIRD-PARTY-NOTICES"), notices.text);
    await writeFile(join(work, "dist", "built"), `${(await stat(join(root, "src"))).ino}\n`);
    await utimes(join(work, "dist", "built"), startedMs / 1000, startedMs / 1000);
    await putInPlace(work, join(root, "dist"));
    return { chunks, packages: notices.packages };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Builds into a folder without putting anything in place, for a look at what is loaded with what. */
export async function build(root: string, dir: string): Promise<readonly OutputChunk[]> {
  const problems: string[] = [];
  const build = await rolldown({
    cwd: root,
    input: ENTRIES,
    platform: "node",
    preserveEntrySignatures: "allow-extension",
    external: [/^node:/],
    treeshake: { moduleSideEffects: (id) => (isOurs(id) ? isEntry(id) : undefined) },
    // Else what two programs share is put where one of them loads all of the other.
    experimental: { chunkOptimization: false },
    plugins: [withoutUnused, plainBuiltins],
    onLog: (level, log) => {
      if (level === "warn") problems.push(log.message);
    },
  });
  const { output } = await build.write({
    dir,
    format: "esm",
    // Stack traces name functions as the sources do, and lines that a person can read.
    keepNames: true,
    minify: false,
    comments: { legal: false, annotation: false, jsdoc: false },
    entryFileNames: "[name].mjs",
    chunkFileNames: "[name].mjs",
    codeSplitting: { groups: GROUPS, includeDependenciesRecursively: false },
  });
  await build.close();
  if (problems.length > 0) throw new Error(`the bundler warns:\n${problems.join("\n")}`);
  return output.filter((file) => file.type === "chunk");
}

/** Our modules do nothing when they are imported (AGENTS.md); packages say it of themselves. */
const isOurs = (id: string): boolean => !id.includes("/node_modules/") && id.endsWith(".ts");
const isEntry = (id: string): boolean => Object.values(ENTRIES).some((path) => id.endsWith(`/${path}`));

/** Two builds at once are both good: the later one stays. */
async function putInPlace(work: string, dist: string): Promise<void> {
  await rename(dist, join(work, "old")).catch(ifNotThere);
  await rename(join(work, "dist"), dist).catch((error: unknown) => {
    if (codeOf(error) !== "ENOTEMPTY") throw error;
  });
}

function ifNotThere(error: unknown): void {
  if (codeOf(error) !== "ENOENT") throw error;
}

const codeOf = (error: unknown): unknown =>
  error instanceof Error && "code" in error ? error.code : undefined;
