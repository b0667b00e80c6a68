import { expect, test } from "vitest";
import { main } from "./program.ts";

async function run(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const said = { out: "", err: "" };
  const status = await main(args, {
    env,
    out: (text) => {
      said.out += text;
    },
    err: (text) => {
      said.err += text;
    },
  });
  return { status, ...said };
}

test("the controller's help has its own options and the provider's", async () => {
  for (const args of [
    ["controller", "mock", "--help"],
    ["controller", "--help"],
  ]) {
    const { status, out } = await run(args, { CLOUD_PROVIDER: "mock" });
    expect(status).toBe(0);
    expect(out).toContain("-controller-grace DURATION");
    expect(out).toContain("-mock-cloud-socket");
  }
});

test("outside a cluster, or with a wrong setting, it does not start", async () => {
  expect(await run(["controller", "mock"])).toMatchObject({
    status: 2,
    err: expect.stringContaining("PEERPODS_KUBECONFIG is not set"),
  });
  const wrong = { PEERPODS_CONTROLLER_SWEEP_INTERVAL: "5", PEERPODS_CONTROLLER_BUDGET: "0" };
  const { status, err } = await run(["controller"], { CLOUD_PROVIDER: "mock", ...wrong });
  expect(status).toBe(2);
  expect(err).toContain("PEERPODS_CONTROLLER_SWEEP_INTERVAL=5");
  expect(err).toContain("PEERPODS_CONTROLLER_BUDGET=0");
  expect((await run(["controller"])).err).toContain("no provider is given");
});
