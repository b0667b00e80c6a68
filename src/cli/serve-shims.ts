import { flushCompileCache } from "node:module";
import { describeError } from "../errors/index.ts";
import { aborted, collectWhenIdle, createLog, systemClock } from "../platform/index.ts";
import type { ListeningProxy } from "../shim-proxy/server.ts";
import type { ShimProxyConfig } from "./config.ts";
import { endAtCrash } from "./crash-output.ts";
import { programVersion } from "./version.ts";

/** The second half of the data plane's start, and its life. Resolves to the exit status. */
export async function serveShims(
  listening: ListeningProxy,
  config: ShimProxyConfig,
  stop: AbortSignal,
): Promise<number> {
  const log = createLog(config.logLevel, "shim-proxy");
  for (const warning of config.warnings) log.warn(warning);
  const proxy = await listening.serve({ clock: systemClock, log }, await programVersion());
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
  collectWhenIdle(systemClock);
  await aborted(stop);
  await proxy.drain();
  return 0;
}
