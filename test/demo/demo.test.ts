import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { isRoot } from "../node/namespaces.ts";

const MAIN = new URL("main.ts", import.meta.url).pathname;
const LIMIT_MS = 5 * 60_000;

function demo(
  broken: string,
  provider = "mock",
  more: Readonly<Record<string, string>> = {},
): { readonly status: number | null; readonly output: string } {
  const result = spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", MAIN], {
    encoding: "utf8",
    timeout: LIMIT_MS,
    env: { ...process.env, DEMO_BREAK: broken, PROVIDER: provider, ...more },
  });
  return { status: result.status, output: `${result.stdout}${result.stderr}` };
}

describe("the demo", { timeout: LIMIT_MS }, () => {
  test("shows a whole pod's life and ends with status 0", () => {
    const { status, output } = demo("");
    expect(output).toContain("All of it was true");
    expect(status).toBe(0);
  });

  test.each(["azure", "ibmcloud"])(
    "is the same through provider %s, its SDK and a fake of its cloud",
    (provider) => {
      const { status, output } = demo("", provider);
      expect(output).toContain("All of it was true");
      expect(status).toBe(0);
    },
  );

  test.skipIf(!isRoot)(
    "is the same when shim-proxy and adaptor have only the rights of their containers in the chart (needs root)",
    () => {
      const { status, output } = demo("", "mock", { POD_RIGHTS: "1" });
      expect(output).toContain("All of it was true");
      expect(status).toBe(0);
    },
  );

  test.each([
    ["initdata", "initdata arrived"],
    ["exit-code", "exec returned its exit code"],
    ["leak", "nothing is left"],
  ])("fails at its line when %s is broken on purpose", (broken, line) => {
    const { status, output } = demo(broken);
    expect(output).toMatch(new RegExp(`NO  ${line}`));
    expect(status).toBe(1);
  });

  test.skipIf(!isRoot)("fails at its line when the tunnel is broken on purpose (needs root)", () => {
    const { status, output } = demo("tunnel");
    expect(output).toMatch(/NO {2}traffic flows/);
    expect(status).toBe(1);
  });
});
