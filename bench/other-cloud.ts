import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "../src/errors/index.ts";
import { cpuMsOfEndedChildren } from "./processes.ts";
import type { RoomApi } from "./room-api.ts";

/** A cloud for an adaptor whose provider runs a script. */
export interface ScriptedCloud {
  readonly script: string;
  close(): void;
}

/** Runs of each kind of script, when its cost is measured. */
const COST_RUNS = 40;
/** About as much as a pod's user data. */
const USER_DATA_BYTES = 6_000;

/**
 * The machine room for an adaptor whose provider runs a script: `script create NAME IMAGE <user-data` prints `id address`, `script delete ID`.
 * The script only leaves its request in a folder and waits for the answer in a pipe, so that it costs that adaptor three small processes
 * and no interpreter; the work is done here. The folder's name begins with `prefix`.
 */
export function scriptedCloud(prefix: string, room: RoomApi): ScriptedCloud {
  const dir = mkdtempSync(`${prefix}-`);
  const script = join(dir, "script.sh");
  const lines = [
    "#!/bin/sh",
    `cd '${dir}' || exit 1`,
    "mkfifo $$.answer",
    '{ echo "$*"; if [ "$1" != delete ]; then cat; fi; } >.$$',
    "mv .$$ $$.request",
    "read -r code text <$$.answer",
    'echo "$text"',
    "exit $code",
  ];
  writeFileSync(script, `${lines.join("\n")}\n`);
  chmodSync(script, 0o755);
  const answered = new Set<string>();
  const watcher = watch(dir, (_event, name) => {
    if (name === null || !name.endsWith(".request") || answered.has(name)) return;
    answered.add(name);
    void answer(readFileSync(join(dir, name), "utf8"), room).then((line) =>
      writeFileSync(join(dir, name.replace(/request$/, "answer")), `${line}\n`),
    );
  });
  return { script, close: () => watcher.close() };
}

/** CPU milliseconds that the script itself costs for a create and a delete: no work of the adaptor that has to run it. */
export async function scriptCost(
  script: string,
): Promise<{ readonly create: number; readonly remove: number }> {
  const cost = async (...args: string[]): Promise<number> => {
    const beforeMs = cpuMsOfEndedChildren();
    for (let n = 0; n < COST_RUNS; n++) {
      const child = spawn(script, args, { stdio: ["pipe", "ignore", "ignore"] });
      child.stdin.on("error", () => undefined); // A delete reads nothing.
      child.stdin.end("#".repeat(USER_DATA_BYTES));
      await once(child, "exit");
    }
    return (cpuMsOfEndedChildren() - beforeMs) / COST_RUNS;
  };
  return { create: await cost("nothing"), remove: await cost("delete", "nothing") };
}

/** Exit status and output. */
async function answer(text: string, room: RoomApi): Promise<string> {
  const [first = "", ...rest] = text.split("\n");
  const [verb, subject = ""] = first.split(" ");
  try {
    if (verb === "nothing") return "0";
    if (verb !== "create") {
      await room.remove(subject);
      return "0";
    }
    const vm = await room.create(subject, rest.join("\n"));
    return `0 ${vm.id} ${vm.addresses.join(" ")}`;
  } catch (error) {
    return `1 ${describeError(error)}`;
  }
}
