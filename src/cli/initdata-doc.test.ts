import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemExec } from "../platform/index.ts";

const ROOT = join(import.meta.dirname, "../..");

/** What stands in the document's sh blocks, one command a line. */
async function commands(): Promise<readonly string[]> {
  const text = await readFile(join(ROOT, "docs/initdata.md"), "utf8");
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap((match) =>
    (match[1] ?? "").trim().split("\n"),
  );
}

test("every command of docs/initdata.md runs, in order", { timeout: 60_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "initdata-doc-"));
  try {
    await cp(join(ROOT, "test/fixtures/user-data"), folder, { recursive: true });
    const lines = await commands();
    expect(lines.length).toBeGreaterThan(8);
    for (const line of lines) {
      const script = `cd "$1"; PATH="$2:$PATH"; ${line}`;
      const signal = AbortSignal.timeout(30_000);
      const result = await systemExec.run(["sh", "-c", script, "sh", folder, join(ROOT, "bin")], { signal });
      expect(result, line).toMatchObject({ code: 0 });
    }
    expect(await readFile(join(folder, "pcr8"), "utf8")).toMatch(/^[0-9a-f]{64}\n$/);
  } finally {
    await rm(folder, { recursive: true });
  }
});
