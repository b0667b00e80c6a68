import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readSources } from "./architecture/imports.ts";

const ROOT = join(import.meta.dirname, "..");

test("docs/kubernetes.md tells every reason of an Event, and no other", async () => {
  const files = await readSources(ROOT, ["src/kubernetes/pods"]);
  const product = files.filter(({ path }) => !path.endsWith(".test.ts"));
  const reasons = product.flatMap(({ text }) =>
    [...text.matchAll(/"(PeerPod[A-Z]\w+)"/g)].map(([, reason]) => reason),
  );
  const [, section = ""] = (await readFile(join(ROOT, "docs/kubernetes.md"), "utf8")).split(
    "## Events on pods",
  );
  const told = [...section.matchAll(/`(PeerPod[A-Z]\w+)`/g)].map(([, reason]) => reason);
  expect(new Set(told)).toEqual(new Set(reasons));
});
