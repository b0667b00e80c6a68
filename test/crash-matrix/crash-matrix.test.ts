import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { isRoot } from "../node/namespaces.ts";

const MAIN = new URL("main.ts", import.meta.url).pathname;
const LIMIT_MS = 10 * 60_000;

function matrix(...args: string[]): { readonly status: number | null; readonly output: string } {
  const result = spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", MAIN, ...args], {
    encoding: "utf8",
    timeout: LIMIT_MS,
  });
  return { status: result.status, output: `${result.stdout}${result.stderr}` };
}

// The short form of `make crash-matrix`.
test.skipIf(!isRoot)(
  "whoever dies at a step, nothing is lost that need not be, and nothing left (needs root)",
  { timeout: LIMIT_MS },
  () => {
    const { status, output } = matrix("--sample=12");
    expect(output).toMatch(/\d+ passed, 0 failed/);
    expect(status).toBe(0);
  },
);

test.skipIf(!isRoot)(
  "a recovery that forgets a VM turns the matrix red (needs root)",
  { timeout: LIMIT_MS },
  () => {
    const { status, output } = matrix("--self-test");
    expect(output).toContain("the sabotaged recovery was seen");
    expect(status).toBe(0);
  },
);
