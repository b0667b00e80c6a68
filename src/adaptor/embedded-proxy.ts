import { existsSync } from "node:fs";
import type { Clock, Log } from "../platform/index.ts";
import { proxyAnswers } from "../sandbox/index.ts";
import type { AdaptorConfig } from "./config.ts";

interface Surroundings {
  readonly config: AdaptorConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly programVersion: string;
}

/** In Kubernetes never: there the proxy is a DaemonSet of its own, and is waited for. */
export async function embedsProxy({ config, clock }: Surroundings): Promise<boolean> {
  if (config.shimProxy !== "auto") return config.shimProxy === "embedded";
  if (config.node.inKubernetes) return false;
  return !existsSync(config.paths.proxySocket) || !(await proxyAnswers(config.paths.proxySocket, clock));
}

/** The pods of an embedded proxy end with this process: good for a trial, not for a node. */
export async function startEmbeddedProxy({
  config,
  clock,
  log,
  programVersion,
}: Surroundings): Promise<{ close(): Promise<void> }> {
  log.warn(
    "the shim-proxy runs inside this process: pods end when it ends. Run `cloud-api-adaptor shim-proxy` beside it to keep them",
  );
  const { runShimProxy } = await import("../shim-proxy/server.ts");
  const { runDir, hypervisorSocket, proxySocket } = config.paths;
  return await runShimProxy(
    { runDir, hypervisorSocket, proxySocket, programVersion },
    { clock, log: log.child({ component: "shim-proxy" }) },
  );
}
