import { flushCompileCache } from "node:module";
import { describeError } from "../errors/index.ts";
import { aborted, createLog, makeFolder, systemClock } from "../platform/index.ts";
import type { ShimProxyConfig } from "./config.ts";
import { endAtCrash } from "./crash-output.ts";
import { stopSignal } from "./stop-signals.ts";
import { programVersion } from "./version.ts";

/** Runs the data plane. At SIGTERM it stays until its last sandbox is closed. Resolves to the exit status. */
export async function runShimProxy(config: ShimProxyConfig): Promise<number> {
  const log = createLog(config.logLevel, "shim-proxy");
  for (const warning of config.warnings) log.warn(warning);
  const stop = stopSignal();
  makeFolder("PEERPODS_RUN_DIR", config.runDir);
  const { runShimProxy: run } = await import("../shim-proxy/server.ts");
  const proxy = await run({ ...config, programVersion: await programVersion() }, { clock: systemClock, log });
  // The end of this process would end every pod of the node; an error in one of them must not. At start it still ends.
  process.off("uncaughtException", endAtCrash);
  process.on("uncaughtException", (error) =>
    log.error("an error of ours was not handled; the shim-proxy goes on", {
      error: describeError(error),
      stack: error.stack,
    }),
  );
  // Else it would be written at an orderly end only, and a node's processes seldom have one.
  flushCompileCache();
  await aborted(stop);
  await proxy.drain();
  return 0;
}
