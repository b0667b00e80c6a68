// The entry of the data plane's process. The control plane's side is index.ts; neither loads the other. What is imported here is
// loaded before shims can connect; everything else (data-plane.ts) after that.
import { mkdirSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { describeError, invalidConfig, unavailable } from "../errors/index.ts";
import { type ProcessLock, takeLock } from "./lock.ts";
import { PlacedSocket } from "./placed-socket.ts";
import type { ShimProxy, ShimProxyConfig, ShimProxyDeps } from "./proxy-config.ts";
import { WaitingRoom } from "./waiting-room.ts";

export type { ShimProxy, ShimProxyConfig, ShimProxyDeps } from "./proxy-config.ts";

/** A node's hypervisor.sock, in place, with nobody behind it yet: shims connect, and their calls wait. */
export interface ListeningProxy {
  /** Places the control socket too, and serves. Throws `unavailable` or `too-large`, and then all is closed. */
  serve(deps: ShimProxyDeps, programVersion?: string): Promise<ShimProxy>;
}

/**
 * Takes the lock, then places hypervisor.sock. Throws `wrong-state` if another shim-proxy has the lock, `unavailable` or
 * `too-large` if the socket cannot be made.
 */
export async function listenForShims(config: ShimProxyConfig): Promise<ListeningProxy> {
  if (!isAbsolute(config.runDir) || !isAbsolute(config.hypervisorSocket))
    throw invalidConfig(
      `the run directory ${JSON.stringify(config.runDir)} and the hypervisor socket ${JSON.stringify(config.hypervisorSocket)} must be absolute paths`,
    );
  makeFolder(config.runDir);
  makeFolder(dirname(config.hypervisorSocket));
  const lock = takeLock(config.lockFile ?? join(config.runDir, "proxy.lock"));
  const room = new WaitingRoom();
  const socket = await placeOrRelease(config.hypervisorSocket, room, lock);
  return {
    async serve(deps, programVersion = "") {
      try {
        const { serveShims } = await import("./data-plane.ts");
        return await serveShims({ programVersion, ...config }, deps, { lock, room, socket });
      } catch (error) {
        socket.remove();
        room.close();
        lock.release();
        throw error;
      }
    },
  };
}

/** Listens and serves. Throws as `listenForShims` and its `serve`. */
export async function runShimProxy(config: ShimProxyConfig, deps: ShimProxyDeps): Promise<ShimProxy> {
  return await (await listenForShims(config)).serve(deps);
}

async function placeOrRelease(path: string, room: WaitingRoom, lock: ProcessLock): Promise<PlacedSocket> {
  try {
    return await PlacedSocket.place(path, (socket) => room.enter(socket));
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** As the Go adaptor does (cmd/cloud-api-adaptor): /run is empty after a boot. */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (cause) {
    throw unavailable(`cannot make the folder ${path}: ${describeError(cause)}`, { cause });
  }
}
