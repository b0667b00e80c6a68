import { installedFile, readTextFile } from "../../../src/platform/index.ts";

/** What can be asked of a host. */
export type ScriptName = "claim" | "start" | "inspect" | "remove" | "console" | "facts" | "probe";
export type Scripts = Readonly<Record<ScriptName, string>>;

/** Files before the script's own, after the prelude. */
const WITH_NETWORK: readonly ScriptName[] = ["start", "remove", "facts"];

const MAX_SCRIPT_BYTES = 64 * 1024;

const read = (name: string): Promise<string> =>
  readTextFile(installedFile(`providers/kvm/host/${name}.sh`), MAX_SCRIPT_BYTES);

async function compose(name: ScriptName): Promise<string> {
  const parts = ["prelude", ...(WITH_NETWORK.includes(name) ? ["network"] : []), name];
  return (await Promise.all(parts.map(read))).join("\n");
}

/** Reads the scripts of this folder, each ready for `sh -c`. */
export async function readScripts(): Promise<Scripts> {
  const [claim, start, inspect, remove, console, facts, probe] = await Promise.all([
    compose("claim"),
    compose("start"),
    compose("inspect"),
    compose("remove"),
    compose("console"),
    compose("facts"),
    compose("probe"),
  ]);
  return { claim, start, inspect, remove, console, facts, probe };
}

/** The arguments of `sh` for one of them. */
export function shellArguments(
  script: string,
  values: Readonly<Record<string, string | number>>,
  args: readonly string[] = [],
): readonly [string, ...string[]] {
  const assignments = Object.entries(values).map(([key, value]) => `${key}=${value}`);
  return ["sh", "-c", script, "peerpods-kvm", ...assignments, "--", ...args];
}
