import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { ProviderModule } from "../../providers/contract.ts";
import { createDiscreetly } from "../../providers/redaction/index.ts";
import { ClusterClient, NAMESPACES } from "../kubernetes/client/index.ts";
import { Controller, serveHealth } from "../kubernetes/controller/index.ts";
import { ControllerMetrics } from "../observe/index.ts";
import { createLog, type Log, systemClock, systemExec } from "../platform/index.ts";
import type { ControllerConfig } from "./controller-config.ts";

/** Between tries to ask for the cluster's identity at the start. */
const RETRY_MS = 5000;

export interface ControllerProcess {
  readonly programVersion: string;
  readonly stop: AbortSignal;
}

/** Runs the controller until SIGTERM or SIGINT. Resolves to the exit status. */
export async function runController(
  config: ControllerConfig,
  module: ProviderModule,
  process: ControllerProcess,
): Promise<number> {
  const log = createLog(config.logLevel, "controller");
  for (const warning of config.warnings) log.warn(warning);
  const { programVersion, stop } = process;
  const clock = systemClock;
  await using things = new AsyncDisposableStack();
  const client = things.use(
    await ClusterClient.open(
      { clock, log, userAgent: `cloud-api-adaptor/${programVersion} controller` },
      config.access,
    ),
  );
  const metrics = new ControllerMetrics({ clock, log, programVersion, provider: module.name });
  let controller: Controller | undefined;
  things.use(
    await serveHealth(config.healthPort, () => ({
      isLeader: controller?.isLeader ?? false,
      obstacles: controller?.obstacles() ?? ["the cluster's identity is not known yet"],
    })),
  );
  if (config.metrics !== undefined) things.defer(metrics.serve(config.metrics));
  const clusterId = config.clusterId || (await identityOf(client, log, stop));
  if (clusterId === undefined) return 0;
  const provider = await createDiscreetly(
    module,
    {
      clock,
      exec: systemExec,
      log,
      owner: { clusterId, nodeName: "" },
      onCall: metrics.onCall,
    },
    config.providerOptions,
  );
  things.defer(() => provider.close());
  const { namespace, runtimeClassName, shimProxyDaemonSet, replacesShimProxies } = config;
  const { sweepIntervalMs, graceMs, orphanGraceMs, budget, isDryRun } = config;
  controller = new Controller(
    {
      client,
      provider,
      clock,
      log,
      observe: metrics.onNotice,
      options: {
        namespace,
        clusterId,
        runtimeClassName,
        shimProxyDaemonSet,
        replacesShimProxies,
        sweepIntervalMs,
        graceMs,
        orphanGraceMs,
        budget,
        isDryRun,
      },
    },
    `${config.podName || hostname()}_${randomUUID()}`,
  );
  log.info("the controller has started", { clusterId, provider: module.name });
  await controller.run(stop);
  return 0;
}

/** The UID of namespace kube-system, which is as old as the cluster; undefined: told to end before it could be asked. */
async function identityOf(client: ClusterClient, log: Log, stop: AbortSignal): Promise<string | undefined> {
  for (;;) {
    try {
      return (await client.get(NAMESPACES, { name: "kube-system" }, stop)).metadata.uid;
    } catch (error) {
      if (stop.aborted) return undefined;
      log.warn(
        "namespace kube-system, whose UID is the cluster's identity, cannot be read; it is tried again",
        {
          error: error instanceof Error ? error.message : String(error),
        },
      );
      await systemClock.sleep(RETRY_MS, stop).catch(() => undefined);
    }
  }
}
