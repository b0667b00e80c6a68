// Starts the two processes of a node, so that what a start runs is compiled, then loads every other file of the program, and with
// that proves that each can be loaded. Nothing runs by that: modules do no work when they are imported.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PROGRAM = "/opt/cloud-api-adaptor/dist/program";
/** As the image's launcher has it, and warm.sh for this process. */
const COMPILED = "/opt/cloud-api-adaptor/dist/compiled";
/** Programs of their own: they run. */
const ENTRIES = ["main.mjs", "guest.mjs"];

/** Starts a command and resolves when its log says that. */
async function start(args, said, env = {}) {
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", join(PROGRAM, "main.mjs"), ...args],
    {
      stdio: ["ignore", "ignore", "pipe"],
      env: { NODE_COMPILE_CACHE: COMPILED, ...env },
    },
  );
  let log = "";
  await new Promise((resolve, reject) => {
    child.stderr.on("data", (chunk) => {
      log += chunk;
      if (log.includes(said)) resolve();
    });
    child.on("close", () => reject(new Error(`${args[0]} has ended: ${log}`)));
  });
  child.stderr.resume();
  return child;
}

async function startOnce() {
  const dir = mkdtempSync(join(tmpdir(), "warm-"));
  const socket = join(dir, "hypervisor.sock");
  const proxy = await start(["shim-proxy", `-socket=${socket}`], "the shim-proxy serves");
  const flags = [
    `-socket=${socket}`,
    `-pods-dir=${dir}/pods`,
    `-state-dir=${dir}/state`,
    "-shim-proxy=external",
  ];
  const env = { CLUSTER_ID: "image", PROBE_PORT: "18000" };
  const adaptor = await start(
    ["mock", ...flags, `-mock-cloud-socket=${dir}/cloud.sock`],
    "attached to the shim-proxy",
    env,
  );
  for (const process of [adaptor, proxy]) {
    process.kill("SIGTERM");
    await once(process, "close");
  }
  rmSync(dir, { recursive: true });
}

await startOnce();
const files = readdirSync(PROGRAM).filter((name) => name.endsWith(".mjs") && !ENTRIES.includes(name));
for (const name of files) await import(join(PROGRAM, name));
flushCompileCache();
process.stdout.write(`${files.length} files\n`);
