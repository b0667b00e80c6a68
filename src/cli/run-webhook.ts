import {
  type CertificateSource,
  clusterCertificates,
  folderCertificates,
  WebhookServer,
} from "../kubernetes/webhook/index.ts";
import { WebhookMetrics } from "../observe/index.ts";
import { createLog, type Log, systemClock } from "../platform/index.ts";
import { stopSignal } from "./stop-signals.ts";
import { programVersion } from "./version.ts";
import type { WebhookConfig } from "./webhook-config.ts";

/** Runs the webhook until a signal. Resolves to the exit status. */
export async function runWebhook(
  config: WebhookConfig,
  env: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const log = createLog(config.logLevel, "webhook");
  for (const warning of config.warnings) log.warn(warning);
  const stop = stopSignal();
  await using resources = new AsyncDisposableStack();
  const certificates = await openCertificates(config, { log, env, resources });
  const version = await programVersion();
  const metrics = new WebhookMetrics({
    clock: systemClock,
    log,
    programVersion: version,
    provider: config.provider,
  });
  if (config.metrics !== undefined) resources.defer(metrics.serve(config.metrics));
  const deps = { clock: systemClock, log, policy: config.policy, onNotice: metrics.onNotice };
  const server = resources.use(await WebhookServer.start(deps, config.server));
  await certificates.run((certificate) => server.serve(certificate), stop);
  await server.drain(config.stopDelayMs);
  return 0;
}

interface Surroundings {
  readonly log: Log;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly resources: AsyncDisposableStack;
}

async function openCertificates(
  { certificates }: WebhookConfig,
  { log, env, resources }: Surroundings,
): Promise<CertificateSource> {
  const deps = { clock: systemClock, log };
  if (certificates.from === "folder") return folderCertificates(deps, certificates.folder);
  // Only here: with certificates of somebody else's the webhook asks nothing of the cluster.
  const { ClusterClient, clusterAccess } = await import("../kubernetes/client/index.ts");
  const userAgent = `cloud-api-adaptor/${await programVersion()} webhook`;
  const client = await ClusterClient.open(
    { ...deps, userAgent },
    clusterAccess(certificates.kubeconfig, env),
  );
  resources.use(client);
  return clusterCertificates({ ...deps, client }, certificates.options);
}
