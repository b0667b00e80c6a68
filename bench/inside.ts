import { spawn } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import process from "node:process";
import { insideNamespaces, isInside } from "../test/node/namespaces.ts";

/** A pipe from the process outside: it closes when that one has ended, however. */
const LIFELINE_FD = 3;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Runs this very program again in network, mount and pid namespaces of its own, and resolves with its exit status. When this process is
 * told to end, or is killed, the one inside cleans up and ends too (`onInterrupt`).
 */
export async function runInside(filename: string, args: readonly string[]): Promise<number> {
  const inside = insideNamespaces(filename, args);
  const child = spawn("unshare", inside.args, {
    stdio: ["inherit", "inherit", "inherit", "pipe"],
    env: inside.env,
  });
  const [, , , lifeline] = child.stdio;
  for (const signal of SIGNALS) process.on(signal, () => lifeline?.destroy());
  const [code]: unknown[] = await once(child, "exit");
  return typeof code === "number" ? code : 1;
}

export interface Interrupt {
  /** Whether it has come: the process then ends by itself, once all is cleaned up. */
  readonly begun: boolean;
  /** From now on nothing happens any more. */
  ignore(): void;
}

/** Cleans up and ends this process when it is told to end, or the one outside has ended. */
export function onInterrupt(cleanUp: () => Promise<void>): Interrupt {
  let begun = false;
  const end = (): void => {
    if (begun) return;
    begun = true;
    console.log("  interrupted; cleaning up");
    // What cannot be cleaned up now is not worth more than the exit.
    void cleanUp()
      .catch((error: unknown) => console.error(error))
      .then(() => process.exit(130));
  };
  for (const signal of SIGNALS) process.on(signal, end);
  const lifeline = isInside ? new Socket({ fd: LIFELINE_FD }) : undefined;
  lifeline
    ?.on("close", end)
    .on("error", () => undefined)
    .resume()
    .unref();
  return {
    get begun() {
      return begun;
    },
    ignore() {
      for (const signal of SIGNALS) process.off(signal, end);
      lifeline?.off("close", end).destroy();
    },
  };
}
