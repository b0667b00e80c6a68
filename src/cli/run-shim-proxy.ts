import { makeFolder } from "../platform/index.ts";
import { listenForShims } from "../shim-proxy/server.ts";
import type { ShimProxyConfig } from "./config.ts";
import { stopSignal } from "./stop-signals.ts";

/**
 * Runs the data plane. At SIGTERM it stays until its last sandbox is closed. Resolves to the exit status. Shims can connect before
 * anything is loaded that is not needed for that: their calls wait, but a shim does not dial twice.
 */
export async function runShimProxy(config: ShimProxyConfig): Promise<number> {
  const stop = stopSignal();
  makeFolder("PEERPODS_RUN_DIR", config.runDir);
  const listening = await listenForShims(config);
  const { serveShims } = await import("./serve-shims.ts");
  return await serveShims(listening, config, stop);
}
