import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { join } from "node:path";
import type { Provider } from "../../providers/contract.ts";
import { Journal } from "../journal/index.ts";
import type { ContainerRuntime } from "../kubernetes/index.ts";
import type { AdaptorMetrics } from "../observe/index.ts";
import { aborted, type Clock, type Live, type Log } from "../platform/index.ts";
import {
  ControlPlane,
  type NodeState,
  type PodNetworking,
  ProxySession,
  type ReaperOptions,
  type SandboxConfig,
  type SandboxDeps,
  type SandboxFiles,
  withPodNames,
} from "../sandbox/index.ts";
import type { ShimProxyControl } from "../shim-proxy/index.ts";
import { issueVmIdentity } from "../tls/index.ts";
import type { AdaptorState } from "./adaptor-state.ts";
import type { ClusterSide } from "./cluster-side.ts";
import type { AdaptorConfig } from "./config.ts";
import { type PointHook, withPoints } from "./crash-points.ts";
import { DIRECT_VOLUMES_DIR, directVolumes } from "./direct-volumes.ts";
import { durableFirst } from "./durable-first.ts";
import { embedsProxy, startEmbeddedProxy } from "./embedded-proxy.ts";
import { serveFrames } from "./frame-server.ts";
import type { NoticeSink } from "./notice-hub.ts";
import { measureTerm } from "./term-metrics.ts";

/** How long an orderly end may wait for the shim-proxy's good-bye. */
const RELEASE_TIMEOUT_MS = 2000;
const FRAME_SOCKET = /^frames-\d+\.sock$/;

const sandboxFiles: SandboxFiles = {
  makeDir: (path) => {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  },
  removeDir: (path) => rmSync(path, { recursive: true, force: true }),
};

/** One ownership of the node: what it works with, and when it is to end. */
export interface Term {
  readonly config: AdaptorConfig;
  readonly sandboxConfig: Live<SandboxConfig>;
  readonly provider: Provider;
  readonly networking: PodNetworking;
  readonly clock: Clock;
  readonly log: Log;
  readonly node: NodeState;
  readonly stop: AbortSignal;
  readonly programVersion: string;
  readonly points: PointHook | undefined;
  readonly state: AdaptorState;
  readonly onNotice: NoticeSink;
  readonly metrics: AdaptorMetrics;
  /** The control plane has recovered, and answers for the first time. */
  readonly onServing: () => void;
  /** Undefined: not in Kubernetes. */
  readonly cluster: ClusterSide | undefined;
}

/** From the lock to the orderly end. */
export async function runTerm(term: Term): Promise<void> {
  const { config, clock, log, points } = term;
  // What is opened here ends here too, also when the next thing cannot be opened: nothing may keep the process, and with it the lock.
  await using opened = new AsyncDisposableStack();
  const journal = opened.adopt(openJournal(term), (open) => open.close());
  const epoch = journal.nextEpoch();
  await journal.durable();
  const frameSocket = join(config.paths.runDir, `frames-${epoch}.sock`);
  const session = new ProxySession(
    { clock, log },
    {
      controlSocket: config.paths.proxySocket,
      frameSocket,
      epoch,
      programVersion: term.programVersion,
      waitMs: config.limits.shimProxyWaitMs,
    },
  );
  const runtime = opened.use(await runtimeOf(config, clock));
  const deps: SandboxDeps = {
    ...(runtime && { runtime }),
    ...(term.cluster && { pullSecrets: term.cluster.pullSecrets, identified: term.cluster.identified }),
    clock,
    log: withPodNames(log, journal),
    journal,
    ...durableFirst(journal, {
      provider: withPoints(term.provider, "provider", points),
      networking: term.networking,
      proxy: withPoints<ShimProxyControl>(session, "proxy", points),
    }),
    files: withPoints(sandboxFiles, "files", points),
    directVolumes: () => directVolumes(DIRECT_VOLUMES_DIR),
    issueIdentity: (serverName) => issueVmIdentity({ serverName, nowMs: clock.wallMs() }),
    config: term.sandboxConfig,
    onNotice: term.onNotice,
  };
  if (await embedsProxy(term)) opened.adopt(await startEmbeddedProxy(term), (proxy) => proxy.close());
  const control = new ControlPlane(deps, session, term.node, reaperOf(config, log));
  removeOldFrameSockets(config.paths.runDir);
  opened.defer(() => rmSync(frameSocket, { force: true }));
  const frames = opened.adopt(await serveFrames(frameSocket, (signal) => control.ready(signal)), (open) =>
    open.close(),
  );
  opened.defer(measureTerm(term, { epoch, journal, session }));
  const leaveCluster = term.cluster?.begin({ epoch, journal, provider: deps.provider });
  if (leaveCluster !== undefined) opened.defer(leaveCluster);
  term.state.owns({ epoch, journal, control, provider: term.provider });
  opened.defer(() => term.state.owned());
  control.begin();
  // What keeps it from serving is logged where it happens.
  void control.ready(term.stop).then(term.onServing, () => undefined);
  log.info("this control plane owns the node", { epoch, node: term.sandboxConfig.current().owner.nodeName });
  // Else it would be written at an orderly end only, and a node's processes seldom have one.
  flushCompileCache();
  await aborted(term.stop);
  term.state.ending();
  log.info("shutting down; what is under way is left to the next control plane");
  await control.end(clock.timeout(RELEASE_TIMEOUT_MS), () => frames.close());
}

/** Loaded where there is one to ask. */
async function runtimeOf(config: AdaptorConfig, clock: Clock): Promise<ContainerRuntime | undefined> {
  const { criEndpoint } = config.cleaning;
  if (criEndpoint === "") return undefined;
  const { containerRuntime } = await import("../kubernetes/index.ts");
  return containerRuntime(criEndpoint, clock);
}

function reaperOf(config: AdaptorConfig, log: Log): ReaperOptions | undefined {
  const { cleaning } = config;
  if (cleaning.reaper === "off") return undefined;
  const isIdentified = config.node.clusterId !== "" || config.cluster !== undefined;
  if (!isIdentified || cleaning.criEndpoint === "") {
    log.warn("VMs that nobody owns are not looked for: that needs CLUSTER_ID and CRI_RUNTIME_ENDPOINT");
    return undefined;
  }
  return {
    intervalMs: cleaning.reaperIntervalMs,
    startDeadlineMs: cleaning.reaperStartDeadlineMs,
    budget: cleaning.reaperBudget,
    dryRun: cleaning.reaper === "dry-run",
  };
}

function openJournal(term: Term): Journal {
  const { points } = term;
  return Journal.open({
    stateDir: term.config.paths.stateDir,
    clock: term.clock,
    onWrite: term.metrics.onJournalWrite,
    ...(points && { hook: (operation, phase) => points(`journal.${operation}`, phase) }),
  });
}

/** Left by owners that were killed; the lock is ours, so none of them listens. */
function removeOldFrameSockets(runDir: string): void {
  for (const name of readdirSync(runDir))
    if (FRAME_SOCKET.test(name)) rmSync(join(runDir, name), { force: true });
}
