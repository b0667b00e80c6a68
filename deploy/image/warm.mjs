// Loads every module of the program, so that it is compiled, and with that proves that each can be loaded. Nothing runs: modules do
// no work when they are imported.
import { readdirSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { join } from "node:path";

const ROOT = "/opt/cloud-api-adaptor";
// A program of its own: it runs.
const GUEST = join(ROOT, "providers/mock/guest/main.ts");

const modules = ["src", "providers"].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .map((path) => join(ROOT, folder, path))
    .filter((path) => path !== GUEST),
);
for (const path of modules) await import(path);
flushCompileCache();
process.stdout.write(`${modules.length} modules\n`);
