import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import * as v from "valibot";
import { ROOT } from "./child.ts";

const Environment = v.record(v.string(), v.string());

/** A fake of a real cloud as a process, whose VMs run in the node's machine room. */
export interface FakeCloud {
  /** What an adaptor needs to use it: endpoint, credentials, certificate authority. */
  readonly env: Readonly<Record<string, string>>;
  readonly process: ChildProcess;
}

/** Starts `test/fakes/<provider>/main.ts`, which prints its users' environment as one line of JSON and then serves. */
export async function startFakeCloud(
  provider: string,
  at: { readonly dir: string; readonly machineRoom: string; readonly flags?: readonly string[] },
): Promise<FakeCloud> {
  const program = join(ROOT, "test/fakes", provider, "main.ts");
  const flags = [
    "--machine-room",
    at.machineRoom,
    "--ca-file",
    join(at.dir, `${provider}-ca.pem`),
    ...(at.flags ?? []),
  ];
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program, ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit").then(() => {
    throw new Error(`the fake of ${provider} ended before it served`);
  });
  const [line] = await Promise.race([once(createInterface({ input: child.stdout }), "line"), ended]);
  ended.catch(() => undefined);
  return { env: v.parse(Environment, JSON.parse(String(line))), process: child };
}
