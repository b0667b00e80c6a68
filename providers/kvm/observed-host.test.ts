import { expect, test } from "vitest";
import { FakeClock } from "../../test/fakes/fake-clock.ts";
import type { CloudCall } from "../contract.ts";
import type { KvmHost } from "./host/index.ts";
import { observedHost } from "./observed-host.ts";

const signal = new AbortController().signal;

/** A host on which scripts end with that status, and nothing can be dialled. */
const hostOf = (code: number): KvmHost => ({
  label: "a machine",
  run: async () => ({ code, stdout: "", stderr: "" }),
  dial: async () => {
    throw new Error("ENOENT");
  },
  close: async () => undefined,
});

test("scripts and the monitor's socket are told with what came of them, and without names of VMs", async () => {
  const told: CloudCall[] = [];
  const onCall = (call: CloudCall): void => {
    told.push(call);
  };
  const call = { script: "start", values: { NAME: "podvm-a" }, args: ["podvm-a"] } as const;
  for (const code of [0, 1]) await observedHost(hostOf(code), new FakeClock(), onCall).run(call, signal);
  await expect(
    observedHost(hostOf(0), new FakeClock(), onCall).dial("/vms/podvm-a/qmp", signal),
  ).rejects.toThrow("ENOENT");
  expect(told.map(({ operation, outcome }) => `${operation} ${outcome}`)).toEqual([
    "start.run ok",
    "start.run refused",
    "monitor.dial unavailable",
  ]);
});
