import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { bundle } from "./bundle.ts";
import { bundleIsFresh } from "./fresh.ts";

// Makes dist/, unless it is there and as new as the sources. `make setup` calls it, and the image's build.

const ROOT = join(import.meta.dirname, "..", "..");

function bytesIn(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

if (!bundleIsFresh(ROOT)) {
  const { chunks, packages } = await bundle(ROOT);
  const megabytes = (bytesIn(join(ROOT, "dist/program")) / 1e6).toFixed(1);
  process.stdout.write(
    `bundle: ${chunks.length} files, ${packages.length} packages, ${megabytes} MB in dist\n`,
  );
}
