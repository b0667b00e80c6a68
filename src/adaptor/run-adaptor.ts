import { existsSync } from "node:fs";
import type { Provider, ProviderModule } from "../../providers/contract.ts";
import type { AdminServer } from "../admin/index.ts";
import {
  collectWhenIdle,
  createLog,
  LaneExec,
  LiveValue,
  type Log,
  makeFolder,
  readBootId,
  systemClock,
  systemExec,
} from "../platform/index.ts";
import { openAdminSide } from "./admin-side.ts";
import { chooseNetworking } from "./choose-networking.ts";
import type { ClusterSide, ClusterSideDeps } from "./cluster-side.ts";
import type { AdaptorConfig, MakeConfigReader } from "./config.ts";
import type { PointHook } from "./crash-points.ts";
import { LiveSettings } from "./live-settings.ts";
import { waitForLock, watchLock } from "./owner-lock.ts";
import { systemdNotifier } from "./systemd.ts";
import { runTerm, type Term } from "./term.ts";

/** What one run of the adaptor is given beside its settings. */
export interface AdaptorSurroundings {
  /** Aborts when the process is to end. */
  readonly stop: AbortSignal;
  readonly programVersion: string;
  /** Of the crash matrix; undefined otherwise. */
  readonly points: PointHook | undefined;
  /** For when the ConfigMap changes. */
  readonly makeConfigReader: MakeConfigReader;
}

/** Runs the control plane until `stop` aborts. Resolves to the exit status. */
export async function runAdaptor(
  config: AdaptorConfig,
  module: ProviderModule,
  surroundings: AdaptorSurroundings,
): Promise<number> {
  const { stop, programVersion, points } = surroundings;
  const logLevel = new LiveValue(config.logLevel);
  const log = createLog(logLevel, "adaptor");
  const clock = systemClock;
  for (const warning of config.warnings) log.warn(warning);
  const podsDirExisted = existsSync(config.paths.podsDir);
  makeFolder("PEERPODS_RUN_DIR", config.paths.runDir);
  await using opened = new AsyncDisposableStack();
  opened.defer(collectWhenIdle(clock));
  const about = { clock, log, programVersion };
  const admin = opened.adopt(await openAdminSide(config, { ...about, logLevel }), (side) =>
    side.server.close(),
  );
  const networking = chooseNetworking(config, { exec: opened.use(new LaneExec()), log }, points);
  const live = { clock, exec: systemExec, log, logLevel, onCall: admin.metrics.onCall };
  const settings = opened.adopt(await LiveSettings.open(config, module, live), (open) => open.close());
  const cluster = await openCluster(config, { ...about, effective: settings.sandboxConfig });
  opened.defer(async () => await cluster?.close());
  if (cluster !== undefined) {
    admin.notices.add(cluster.onNotice);
    const { makeConfigReader } = surroundings;
    const { followConfigMap } = await import("./config-watch.ts");
    cluster.beside((client, signal) =>
      followConfigMap({ ...about, client, cluster, config, settings, makeConfigReader }, signal),
    );
  }
  admin.tellOf({ settings, cluster });
  if (config.verifyCloudConfig) {
    admin.state.starting("asking the cloud whether the configuration is right");
    if (!(await verifies(settings.provider, log, stop))) return 1;
  }
  makeFolder("PEERPODS_STATE_DIR", config.paths.stateDir);
  makeFolder("PODS_DIR", config.paths.podsDir);
  const node = { bootId: readBootId(config.paths.bootIdFile), podsDirExisted };
  const { sandboxConfig, provider } = settings;
  const { state, metrics, notices } = admin;
  const ours = { sandboxConfig, provider, cluster, state, metrics, onNotice: notices.tell };
  return await ownNode({ ...about, ...ours, config, networking, node, points }, admin.server, stop);
}

/** Stands by until the node is ours, and acts on it until `stop` aborts. Resolves to the exit status. */
async function ownNode(
  term: Omit<Term, "stop" | "onServing">,
  server: AdminServer,
  stop: AbortSignal,
): Promise<number> {
  const { clock, log, config, state } = term;
  const systemd = systemdNotifier({ clock, exec: systemExec, log }, config.node.notifySocket, stop);
  const onWait = (): void => {
    state.standingBy();
    systemd.ready();
  };
  const lock = await waitForLock(config, { clock, log, onWait }, stop);
  if (lock === undefined) return 0;
  server.takePath();
  state.starting("taking the node over");
  const lost = watchLock(lock, clock, log);
  await runTerm({
    ...term,
    stop: AbortSignal.any([stop, lost.signal]),
    onServing: () => systemd.ready(),
  });
  lost.cancel();
  lock.release();
  if (!lost.signal.aborted) await term.cluster?.withdraw();
  return lost.signal.aborted ? 1 : 0;
}

/** Loaded only in a cluster: outside it there is nothing to load it for. */
async function openCluster(config: AdaptorConfig, deps: ClusterSideDeps): Promise<ClusterSide | undefined> {
  if (config.cluster === undefined) return undefined;
  const { ClusterSide } = await import("./cluster-side.ts");
  return await ClusterSide.open(config, config.cluster, deps);
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
