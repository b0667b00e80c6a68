import type { OptionReader, ProviderModule } from "../../providers/contract.ts";
import { ClusterClient, clusterAccess, NAMESPACES } from "../kubernetes/client/index.ts";
import { removePeerPods, runningPeerPods, stopAdaptors } from "../kubernetes/uninstall/index.ts";
import { createLog, systemClock } from "../platform/index.ts";
import { destroyCluster } from "./destroy-command.ts";

export interface UninstallRequest {
  readonly module: ProviderModule;
  readonly options: OptionReader;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly kubeconfig: string;
  readonly namespace: string;
  readonly runtimeClass: string;
  /** "": the UID of namespace kube-system. */
  readonly clusterId: string;
  readonly whenPodsRun: string;
  readonly adaptorLimitMs: number;
  readonly secondLookMs: number;
  readonly programVersion: string;
  readonly signal: AbortSignal;
  readonly write: (text: string) => void;
}

const MOST_NAMED = 20;
/** Nothing was begun, and trying again will be refused too while nobody acts; the chart's Job ends with it at once. */
const REFUSED = 3;

/**
 * Takes the cluster's pod VMs down in an order in which none comes back or is forgotten: adaptors, VMs, PeerPods. May be repeated.
 * Resolves to the exit status: 1 when something is left, which is said; 3 when peer pods run and it was refused.
 */
export async function uninstall(request: UninstallRequest): Promise<number> {
  const { signal, write, runtimeClass, namespace } = request;
  const clock = systemClock;
  const log = createLog("warn", "uninstall");
  const userAgent = `cloud-api-adaptor/${request.programVersion} uninstall`;
  using client = await ClusterClient.open(
    { clock, log, userAgent },
    clusterAccess(request.kubeconfig, request.env),
  );
  const running = await runningPeerPods(client, runtimeClass, signal);
  if (running.length > 0 && request.whenPodsRun === "refuse") {
    const more = running.length > MOST_NAMED ? `, and ${running.length - MOST_NAMED} more` : "";
    write(
      `NOT uninstalled: ${running.length} peer pods run (${running.slice(0, MOST_NAMED).join(", ")}${more}). Delete them first; or say that their VMs may be deleted under them (cleanup.whenPodsRun=destroy, -when-pods-run=destroy)\n`,
    );
    return REFUSED;
  }
  const deaf = await stopAdaptors({ client, clock }, { namespace, limitMs: request.adaptorLimitMs }, signal);
  if (deaf.length > 0)
    write(
      `adaptors do not end on ${deaf.join(", ")}; a node that cannot be reached makes no VMs: going on\n`,
    );
  else write("no adaptor runs any more\n");

  const clusterId = request.clusterId || (await kubeSystemUid(client, signal));
  const { module, options } = request;
  const destroy = (): Promise<number> =>
    destroyCluster({ module, options, clusterId, nodeName: "", dryRun: false, signal, write });
  if ((await destroy()) !== 0) return 1;
  // A VM that was being made when its adaptor ended, or whose tags came late.
  await clock.sleep(request.secondLookMs, signal);
  if ((await destroy()) !== 0) return 1;

  const kept = await removePeerPods(client, signal);
  if (kept.length > 0) write(`kept by finalizers of others: PeerPods ${kept.join(", ")}\n`);
  else write("no PeerPod is left\n");
  return kept.length === 0 ? 0 : 1;
}

async function kubeSystemUid(client: ClusterClient, signal: AbortSignal): Promise<string> {
  const { metadata } = await client.get(NAMESPACES, { name: "kube-system" }, signal);
  return metadata.uid;
}
