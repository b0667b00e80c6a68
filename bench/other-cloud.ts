import { chmodSync, mkdirSync, readFileSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "../src/errors/index.ts";
import type { RoomApi } from "./room-api.ts";

/**
 * The machine room for an adaptor whose provider runs a script: `script create NAME IMAGE <user-data` prints `id address`, `script delete ID`.
 * The script only leaves its request in a folder and waits for the answer in a pipe, so that it costs that adaptor three small processes
 * and no interpreter; the work is done here.
 */
export function scriptedCloud(dir: string, room: RoomApi): { readonly script: string; close(): void } {
  mkdirSync(dir);
  const script = join(dir, "script.sh");
  const lines = [
    "#!/bin/sh",
    `cd '${dir}' || exit 1`,
    "mkfifo $$.answer",
    '{ echo "$*"; if [ "$1" = create ]; then cat; fi; } >.$$',
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

/** Exit status and output. */
async function answer(text: string, room: RoomApi): Promise<string> {
  const [first = "", ...rest] = text.split("\n");
  const [verb, subject = ""] = first.split(" ");
  try {
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
