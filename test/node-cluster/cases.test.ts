import { expect, test } from "vitest";
import { ALL_CASES } from "./all-cases.ts";
import { containerdConfig } from "./configs.ts";

test("each case has a name of its own; the first installs and the last uninstalls", () => {
  expect(new Set(ALL_CASES.map(({ name }) => name)).size).toBe(ALL_CASES.length);
  expect(ALL_CASES[0]?.name).toMatch(/is installed/);
  expect(ALL_CASES.at(-1)?.name).toMatch(/is uninstalled/);
});

test("without a shim the handler of peer pods is runc's, with one the shim's", () => {
  const places = { root: "/r", state: "/s", socket: "/c.sock", cniDir: "/cni", cniConfigDir: "/etc/cni" };
  const handler = (kataConfig: string | undefined): string | undefined =>
    /runtimes\.kata-remote\]\n\s*runtime_type = "(.*)"/.exec(
      containerdConfig({ ...places, kataConfig }),
    )?.[1];
  expect(handler(undefined)).toBe("io.containerd.runc.v2");
  expect(handler("/kata.toml")).toBe("io.containerd.kata-remote.v2");
});
