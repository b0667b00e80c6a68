import { chmodSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { HypervisorDefinition } from "../gen/hypervisor/hypervisor.ts";
import { PodVMInfoDefinition } from "../gen/hypervisor/podvminfo.ts";
import { hypervisorHandlers, podVmInfoHandlers, type ReadyManager } from "../hypervisor/index.ts";
import { TtrpcServer } from "../ttrpc/index.ts";

export interface FrameServer {
  /** Ends all connections; what is unanswered stays so. */
  close(): void;
}

/** Serves the hypervisor services on `path`, where the shim-proxy asks what the shims ask. Resolves when it listens. */
export async function serveFrames(path: string, ready: ReadyManager): Promise<FrameServer> {
  const server = new TtrpcServer();
  server.register(HypervisorDefinition, hypervisorHandlers(ready));
  server.register(PodVMInfoDefinition, podVmInfoHandlers(ready));
  const listener = createServer();
  server.serveListener(listener);
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen(path, () => resolve());
  });
  chmodSync(path, 0o600);
  return {
    close() {
      server.close();
      listener.close();
    },
  };
}
