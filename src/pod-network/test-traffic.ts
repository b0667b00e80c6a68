import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { TestNamespace } from "./test-namespaces.ts";

/** Runs inside a namespace; see there for what it does. */
const PROGRAM = new URL("./test-traffic-program.ts", import.meta.url).pathname;

/** Echoes what comes to port 7777 of any address in a namespace. */
export async function serveEcho(namespace: TestNamespace): Promise<AsyncDisposable> {
  const child = spawn("nsenter", [`--net=${namespace.path}`, process.execPath, PROGRAM, "serve"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await once(createInterface(child.stdout), "line");
  return {
    async [Symbol.asyncDispose]() {
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** Runs one of the clients in a namespace and returns what it printed. */
export const traffic = async (namespace: TestNamespace, ...args: readonly string[]): Promise<string> =>
  (await namespace.run(process.execPath, PROGRAM, ...args)).trim();
