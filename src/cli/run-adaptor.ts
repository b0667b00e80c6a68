import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { join } from "node:path";
import type { Provider, ProviderModule } from "../../providers/contract.ts";
import { withSizing } from "../../providers/selection/index.ts";
import { describeError, invalidConfig, unsupported } from "../errors/index.ts";
import { Journal, type OwnerLock, takeOwnerLock } from "../journal/index.ts";
import { type ContainerRuntime, containerRuntime } from "../kubernetes/index.ts";
import { type Clock, createLog, type Log, systemClock, systemExec } from "../platform/index.ts";
import {
  ControlPlane,
  kernelNetworking,
  type NodeState,
  noNetworking,
  type PodNetworking,
  ProxySession,
  proxyAnswers,
  type ReaperOptions,
  type SandboxConfig,
  type SandboxDeps,
  type SandboxFiles,
} from "../sandbox/index.ts";
import type { ShimProxyControl } from "../shim-proxy/index.ts";
import { DEFAULT_TLS_PROFILE, issueVmIdentity, loadCustomIdentity } from "../tls/index.ts";
import { parseInitdata } from "../user-data/index.ts";
import type { AdaptorConfig } from "./config.ts";
import { crashPoints, type PointHook, withPoints } from "./crash-points.ts";
import { DIRECT_VOLUMES_DIR, directVolumes } from "./direct-volumes.ts";
import { serveFrames } from "./frame-server.ts";
import { makeFolder, readBootId } from "./node-files.ts";
import { aborted, stopSignal } from "./stop-signals.ts";
import { programVersion } from "./version.ts";

/** How long an orderly end may wait for the shim-proxy's good-bye. */
const RELEASE_TIMEOUT_MS = 2000;
/** How often the lock file is looked at. */
const LOCK_CHECK_MS = 2000;
const FRAME_SOCKET = /^frames-\d+\.sock$/;

const sandboxFiles: SandboxFiles = {
  makeDir: (path) => {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  },
  removeDir: (path) => rmSync(path, { recursive: true, force: true }),
};

/** Runs the control plane until SIGTERM or SIGINT. Resolves to the exit status. */
export async function runAdaptor(config: AdaptorConfig, module: ProviderModule): Promise<number> {
  const log = createLog(config.logLevel, "adaptor");
  const clock = systemClock;
  for (const warning of config.warnings) log.warn(warning);
  const stop = stopSignal();
  const sandboxConfig = sandboxConfigOf(config);
  const points = crashPoints(process.env);
  const networking = chooseNetworking(config, log, points);
  const provider = withSizing(
    await module.create(
      { clock, exec: systemExec, log: log.child({ provider: module.name }), owner: sandboxConfig.owner },
      config.providerOptions,
    ),
    config.podVm.sizing,
  );
  try {
    if (config.verifyCloudConfig && !(await verifies(provider, log, stop))) return 1;
    const podsDirExisted = existsSync(config.paths.podsDir);
    makeFolder("PEERPODS_STATE_DIR", config.paths.stateDir);
    makeFolder("PODS_DIR", config.paths.podsDir);
    makeFolder("PEERPODS_RUN_DIR", config.paths.runDir);
    const bootId = readBootId(config.paths.bootIdFile);
    const lock = await waitForLock(config, { clock, log }, stop);
    if (lock === undefined) return 0;
    const node = { bootId, podsDirExisted };
    const lost = watchLock(lock, clock, log);
    const ended = AbortSignal.any([stop, lost.signal]);
    await runTerm({ config, sandboxConfig, provider, networking, clock, log, node, stop: ended, points });
    lost.cancel();
    lock.release();
    return lost.signal.aborted ? 1 : 0;
  } finally {
    await provider.close();
  }
}

/** Without its lock file another process may become the owner: then this one must not act any more. */
function watchLock(
  lock: OwnerLock,
  clock: Clock,
  log: Log,
): { readonly signal: AbortSignal; cancel(): void } {
  const lost = new AbortController();
  let cancel = (): void => undefined;
  const look = (): void => {
    if (lock.isSound()) {
      cancel = clock.schedule(LOCK_CHECK_MS, look);
      return;
    }
    log.error(
      "lock.db was removed or replaced in the state directory; this control plane ends, pods go on. Leave that file alone",
    );
    lost.abort(new Error("the owner lock was lost"));
  };
  look();
  return { signal: lost.signal, cancel: () => cancel() };
}

interface Term {
  readonly config: AdaptorConfig;
  readonly sandboxConfig: SandboxConfig;
  readonly provider: Provider;
  readonly networking: PodNetworking;
  readonly clock: Clock;
  readonly log: Log;
  readonly node: NodeState;
  readonly stop: AbortSignal;
  readonly points: PointHook | undefined;
}

/** From the lock to the orderly end. */
async function runTerm(term: Term): Promise<void> {
  const { config, clock, log, points } = term;
  // What is opened here ends here too, also when the next thing cannot be opened: nothing may keep the process, and with it the lock.
  await using opened = new AsyncDisposableStack();
  const journal = opened.adopt(openJournal(term), (open) => open.close());
  const epoch = journal.nextEpoch();
  const frameSocket = join(config.paths.runDir, `frames-${epoch}.sock`);
  const session = new ProxySession(
    { clock, log },
    {
      controlSocket: config.paths.proxySocket,
      frameSocket,
      epoch,
      programVersion: await programVersion(),
      waitMs: config.limits.shimProxyWaitMs,
    },
  );
  const runtime = opened.use(runtimeOf(config, clock));
  const deps: SandboxDeps = {
    ...(runtime && { runtime }),
    clock,
    log,
    journal,
    provider: withPoints(term.provider, "provider", points),
    networking: term.networking,
    proxy: withPoints<ShimProxyControl>(session, "proxy", points),
    files: withPoints(sandboxFiles, "files", points),
    directVolumes: () => directVolumes(DIRECT_VOLUMES_DIR),
    issueIdentity: (serverName) => issueVmIdentity({ serverName, nowMs: clock.wallMs() }),
    config: term.sandboxConfig,
  };
  if (await embedsProxy(term)) opened.adopt(await startEmbeddedProxy(term), (proxy) => proxy.close());
  const control = new ControlPlane(deps, session, term.node, reaperOf(config, log));
  removeOldFrameSockets(config.paths.runDir);
  opened.defer(() => rmSync(frameSocket, { force: true }));
  const frames = opened.adopt(await serveFrames(frameSocket, (signal) => control.ready(signal)), (open) =>
    open.close(),
  );
  control.begin();
  log.info("this control plane owns the node", { epoch, node: term.sandboxConfig.owner.nodeName });
  // Else it would be written at an orderly end only, and a node's processes seldom have one.
  flushCompileCache();
  await aborted(term.stop);
  log.info("shutting down; what is under way is left to the next control plane");
  await control.end(clock.timeout(RELEASE_TIMEOUT_MS), () => frames.close());
}

/** In Kubernetes never: there the proxy is a DaemonSet of its own, and is waited for. */
async function embedsProxy(term: Term): Promise<boolean> {
  const { config, clock } = term;
  if (config.shimProxy !== "auto") return config.shimProxy === "embedded";
  if (config.node.inKubernetes) return false;
  return !existsSync(config.paths.proxySocket) || !(await proxyAnswers(config.paths.proxySocket, clock));
}

/** The pods of an embedded proxy end with this process: good for a trial, not for a node. */
async function startEmbeddedProxy(term: Term): Promise<{ close(): Promise<void> }> {
  const { config, clock, log } = term;
  log.warn(
    "the shim-proxy runs inside this process: pods end when it ends. Run `cloud-api-adaptor shim-proxy` beside it to keep them",
  );
  const { runShimProxy } = await import("../shim-proxy/server.ts");
  const { runDir, hypervisorSocket, proxySocket } = config.paths;
  return await runShimProxy(
    { runDir, hypervisorSocket, proxySocket, programVersion: await programVersion() },
    { clock, log: log.child({ component: "shim-proxy" }) },
  );
}

function runtimeOf(config: AdaptorConfig, clock: Clock): ContainerRuntime | undefined {
  const { criEndpoint } = config.cleaning;
  return criEndpoint === "" ? undefined : containerRuntime(criEndpoint, clock);
}

function reaperOf(config: AdaptorConfig, log: Log): ReaperOptions | undefined {
  const { cleaning } = config;
  if (cleaning.reaper === "off") return undefined;
  if (config.node.clusterId === "" || cleaning.criEndpoint === "") {
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
    ...(points && { hook: (operation, phase) => points(`journal.${operation}`, phase) }),
  });
}

/** Left by owners that were killed; the lock is ours, so none of them listens. */
function removeOldFrameSockets(runDir: string): void {
  for (const name of readdirSync(runDir))
    if (FRAME_SOCKET.test(name)) rmSync(join(runDir, name), { force: true });
}

async function waitForLock(
  config: AdaptorConfig,
  deps: { readonly clock: Clock; readonly log: Log },
  stop: AbortSignal,
): Promise<OwnerLock | undefined> {
  const onWait = (): void => deps.log.info("another control plane owns the node; standing by");
  try {
    return await takeOwnerLock({ clock: deps.clock, onWait }, config.paths.stateDir, stop);
  } catch (error) {
    if (stop.aborted) return undefined;
    throw error;
  }
}

async function verifies(provider: Provider, log: Log, stop: AbortSignal): Promise<boolean> {
  const findings = await provider.verify(stop);
  for (const { check, level, text } of findings) {
    if (level === "error") log.error(`verify ${check}: ${text}`);
    else if (level === "warning") log.warn(`verify ${check}: ${text}`);
    else log.info(`verify ${check}: ${text}`);
  }
  return !findings.some((finding) => finding.level === "error");
}

/** Without root there is no tunnel: only the machine room's plain processes can do without. */
function chooseNetworking(config: AdaptorConfig, log: Log, points: PointHook | undefined): PodNetworking {
  if (process.getuid?.() === 0) {
    const onStep = points && {
      onStep: (step: string, phase: "before" | "after") => points(`tunnel.${step}`, phase),
    };
    return kernelNetworking({ exec: systemExec, log, ...onStep }, config.network);
  }
  if (config.provider !== "mock") {
    throw unsupported(
      `provider ${config.provider} needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN) to connect pods to their VMs`,
    );
  }
  log.warn("not root: pods of the machine room get no tunnel and share this machine's network");
  return noNetworking;
}

function sandboxConfigOf(config: AdaptorConfig): SandboxConfig {
  const { limits, node, podVm, tls } = config;
  return {
    podsDir: config.paths.podsDir,
    limit: limits.maxVms ?? -1,
    limitWaitMs: limits.limitWaitMs,
    reservationMs: limits.createReservationTimeoutMs,
    vxlanMinId: config.network.vxlanMinId,
    forwarderPort: podVm.forwarderPort,
    proxyTimeoutMs: limits.proxyTimeoutMs,
    tls: tlsModeOf(tls),
    tlsProfile: tls.mode === "on" ? tls.profile : DEFAULT_TLS_PROFILE,
    tlsSkipVerify: tls.mode === "on" && tls.skipVerify,
    globalInitdata: globalInitdata(podVm.initdata),
    scratchSpace: podVm.enableScratchSpace,
    externalNetworkViaPodVm: config.network.externalNetworkViaPodVm,
    owner: { clusterId: node.clusterId, nodeName: node.name },
    deleteAttemptMs: limits.vmDeleteAttemptMs,
    deleteRetryMaxMs: limits.vmDeleteRetryMaxMs,
    orphanGraceMs: limits.orphanGraceMs,
    vmCheckIntervalMs: limits.vmCheckIntervalMs,
  };
}

function tlsModeOf(tls: AdaptorConfig["tls"]): SandboxConfig["tls"] {
  if (tls.mode === "off") return { mode: "off" };
  const { customFiles } = tls;
  return customFiles === undefined
    ? { mode: "per-vm" }
    : { mode: "files", load: () => loadCustomIdentity(customFiles) };
}

function globalInitdata(text: string): SandboxConfig["globalInitdata"] {
  if (text === "") return undefined;
  try {
    return parseInitdata(text);
  } catch (cause) {
    throw invalidConfig(`INITDATA: ${describeError(cause)}`, { cause });
  }
}
