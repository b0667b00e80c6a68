import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { commandName, loadCommand } from "../../src/cli/commands.ts";
import { flatten } from "../../src/cli/config.ts";
import { readOptions } from "../../src/cli/options.ts";
import { type Manifests, readManifests } from "./manifests.ts";

const MANIFESTS = join(import.meta.dirname, "../../deploy/manifests");
const files = await readdir(MANIFESTS);

/** Of the program, but of no command's options. */
const NOT_OPTIONS = ["NODE_ADDRESS", "CLOUD_PROVIDER"];

interface Started {
  readonly name: string;
  readonly args: readonly string[];
  readonly own: Readonly<Record<string, string>>;
  readonly all: Readonly<Record<string, string>>;
}

/** Every container as the kubelet would start it; what a pod's fields give is made up. */
function containersOf(manifests: Manifests): readonly Started[] {
  return manifests.workloads().map(({ kind, metadata }) => {
    const { args, env, envFrom } = manifests.container(kind, metadata.name);
    const own = Object.fromEntries(env.map(({ name, value }) => [name, value ?? "from-the-pod"]));
    if ("PEERPODS_METRICS_ADDRESS" in own) own["PEERPODS_METRICS_ADDRESS"] = ":9210";
    const readsConfig = envFrom.some((source) => source["configMapRef"] !== undefined);
    const config = readsConfig ? manifests.data("ConfigMap", "peer-pods-cm") : {};
    return { name: metadata.name, args, own, all: { ...config, ...own } };
  });
}

describe.each(files)("deploy/manifests/%s", (file) => {
  test("every container starts a command that knows its variables, and has nothing against them", async () => {
    const manifests = readManifests(await readFile(join(MANIFESTS, file), "utf8"));
    const started = containersOf(manifests);
    expect(started.length).toBeGreaterThanOrEqual(3);
    for (const { name, args, own, all } of started) {
      const words = commandName(args, all["CLOUD_PROVIDER"] ?? "");
      const options = flatten((await loadCommand(words.join(" "))).groups);
      const known = options.map(({ env }) => env);
      const strange = Object.keys(own).filter((key) => !known.includes(key) && !NOT_OPTIONS.includes(key));
      expect(strange, name).toEqual([]);
      const { problems } = readOptions(options, { flags: new Map(), env: all });
      expect(problems, name).toEqual([]);
    }
  });

  test("the adaptor knows every key of peer-pods-cm", async () => {
    const manifests = readManifests(await readFile(join(MANIFESTS, file), "utf8"));
    const config = manifests.data("ConfigMap", "peer-pods-cm");
    const options = flatten((await loadCommand(config["CLOUD_PROVIDER"] ?? "")).groups);
    const known = options.map(({ env }) => env);
    expect(Object.keys(config).filter((key) => !known.includes(key) && !NOT_OPTIONS.includes(key))).toEqual(
      [],
    );
  });
});
