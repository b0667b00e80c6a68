import fc from "fast-check";
import { expect, test } from "vitest";
import {
  advanceCommand,
  callCommand,
  type Ending,
  type FailureKind,
  failCommand,
  holdCommand,
  leaveCommand,
  MODEL_IDS,
  ModelNode,
  podCommand,
  type Restart,
  releaseCommand,
  restartCommand,
} from "./lifecycle-model.ts";

// PEERPODS_MODEL_SEED repeats a run, PEERPODS_MODEL_RUNS makes it longer.
const seed = Number(process.env["PEERPODS_MODEL_SEED"] ?? Date.now() % 2 ** 31);
const numRuns = Number(process.env["PEERPODS_MODEL_RUNS"] ?? 40);

const id = fc.constantFrom(...MODEL_IDS);
const COMMANDS = [
  id.map(podCommand),
  id.map(podCommand),
  fc.tuple(fc.constantFrom("CreateVM" as const, "StartVM" as const), id).map((args) => callCommand(...args)),
  id.map((one) => callCommand("StopVM", one)),
  fc.nat(5).map(leaveCommand),
  fc.constantFrom(10, 1500, 30_000, 61_000, 600_000).map(advanceCommand),
  fc
    .constantFrom<Restart>(
      "control-plane",
      "control-plane",
      "and a shim",
      "and the shim-proxy",
      "and the node",
    )
    .map(restartCommand),
  fc.constantFrom<FailureKind>("create", "delete", "tunnel").map(failCommand),
  fc.constantFrom("create-before" as const, "create-after" as const, "delete" as const).map(holdCommand),
  fc.constant(undefined).map(releaseCommand),
];

const commandsAndEnd = fc.tuple(
  fc.commands(COMMANDS, { maxCommands: 40, size: "max" }),
  fc.constantFrom<Ending>("stops", "reboot", "shims die"),
);

test("no order of calls, failures, deaths and restarts doubles a VM, exceeds the limit, revives or leaves anything", {
  timeout: 10 * 60_000,
}, async () => {
  console.log(`model seed ${seed}, ${numRuns} runs`);
  let started = 0;
  await fc.assert(
    fc.asyncProperty(commandsAndEnd, async ([commands, ending]) => {
      using node = new ModelNode();
      const model = { stopped: new Set<string>() };
      await fc.asyncModelRun(() => ({ model, real: node }), commands);
      await node.end(model, ending);
      started += node.succeeded.StartVM;
    }),
    { seed, numRuns, interruptAfterTimeLimit: 5 * 60_000, markInterruptAsFailure: false },
  );
  console.log(`${started} pods were started`);
  // A model in which hardly a pod starts would prove nothing.
  expect(started).toBeGreaterThan(numRuns / 4);
});
