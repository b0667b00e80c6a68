// Puts what `make bench` has measured into the documents: `node bench/report-doc.ts bench.json [more.json]`, files that BENCH_JSON named. Tables
// of docs/performance.md stand between `<!-- bench: SECTION -->` and `<!-- bench: end -->`, charts beside it. What no file has stays as it is;
// of two files that have it the later one counts.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../test/node/child.ts";
import { parseBenchJson } from "./bench-json.ts";
import { documented, drawings } from "./document.ts";

const DOCUMENT = join(ROOT, "docs/performance.md");

const files = process.argv.slice(2);
if (files.length === 0)
  throw new Error("give files that BENCH_JSON named: node bench/report-doc.ts bench.json");
const all = files.map((file) => parseBenchJson(readFileSync(file, "utf8")));
writeFileSync(DOCUMENT, documented(readFileSync(DOCUMENT, "utf8"), all));
for (const [name, svg] of drawings(all)) writeFileSync(join(ROOT, "docs", `performance-${name}.svg`), svg);
