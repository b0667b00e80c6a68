import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

const RUN = join(import.meta.dirname, "..", "run.ts");

/** Runs test/run.ts over a folder with these files. */
async function run(files: Record<string, string>): Promise<{ status: number; lines: string[] }> {
  const root = await mkdtemp(join(tmpdir(), "run-test-"));
  try {
    for (const [name, text] of Object.entries(files)) await writeFile(join(root, name), text);
    return await new Promise((resolve) => {
      execFile(
        process.execPath,
        [RUN, "--root", root],
        { env: { PATH: process.env["PATH"] } },
        (error, stdout) => {
          const status = typeof error?.code === "number" ? error.code : error === null ? 0 : -1;
          resolve({ status, lines: stdout.trimEnd().split("\n") });
        },
      );
    });
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

const CONFIG = { "vitest.config.mjs": "export default { test: { globals: true } };" };

test("passed, failed and skipped tests are counted in the last line, and a failure in the exit status", async () => {
  const { status, lines } = await run({
    ...CONFIG,
    "a.test.mjs": `
      test("works", () => {});
      test("breaks", () => { expect(1).toBe(2); });
      test.skip("makes a device (needs root)", () => {});
      test("tags late", (context) => context.skip("this cloud has no tags"));`,
    "b.test.mjs": "import './no-such-file.mjs';",
  });
  expect(lines.at(-1)).toBe("1 passed, 2 failed, 2 skipped");
  expect(lines).toContain("skipped  a.test.mjs: makes a device: needs root");
  expect(lines).toContain("skipped  a.test.mjs: tags late: this cloud has no tags");
  expect(status).toBe(1);
});

test("a run in which all is well ends with status 0", async () => {
  const { status, lines } = await run({ ...CONFIG, "a.test.mjs": `test("works", () => {});` });
  expect(lines.at(-1)).toBe("1 passed, 0 failed, 0 skipped");
  expect(status).toBe(0);
});

test("a test runner that dies is a failure", async () => {
  const { status, lines } = await run({ "vitest.config.mjs": "process.kill(process.pid, 'SIGKILL');" });
  expect(lines.at(-1)).toBe("0 passed, 1 failed, 0 skipped");
  expect(status).toBe(1);
});

test("a run without any test is a failure", async () => {
  const { status, lines } = await run(CONFIG);
  expect(lines.at(-1)).toBe("0 passed, 1 failed, 0 skipped");
  expect(status).toBe(1);
});
