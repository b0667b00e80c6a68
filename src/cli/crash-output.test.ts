import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const MAIN = join(import.meta.dirname, "main.ts");

/** Fails as a request of a cloud's library does, with the token in it, as soon as somebody listens for crashes. */
const PRELOAD = `data:text/javascript,${encodeURIComponent(`
  process.on("newListener", (event) => {
    if (event !== "uncaughtException") return;
    const config = { headers: { Authorization: process.env.CANARY } };
    setImmediate(() => { void Promise.reject(Object.assign(new Error("the request failed"), { config })); });
  });
`)}`;

test("a crash tells its stack, and nothing of what hangs on the error", () => {
  const args = ["--disable-warning=ExperimentalWarning", "--import", PRELOAD, MAIN];
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...args, "journal", "check", "-state-dir=/nonexistent"],
    {
      encoding: "utf8",
      env: { ...process.env, CANARY: "canary-token" },
    },
  );
  expect(stderr).toMatch(/crashed by an error of ours: Error: the request failed\n\s+at /);
  expect(`${stdout}${stderr}`).not.toContain("canary-token");
  expect(status).toBe(1);
});
