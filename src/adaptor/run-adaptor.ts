import { existsSync } from "node:fs";
import type { Provider, ProviderModule } from "../../providers/contract.ts";
import { withSizing } from "../../providers/selection/index.ts";
import {
  createLog,
  LiveValue,
  type Log,
  makeFolder,
  readBootId,
  systemClock,
  systemExec,
} from "../platform/index.ts";
import { openAdminSide } from "./admin-side.ts";
import { chooseNetworking } from "./choose-networking.ts";
import type { AdaptorConfig } from "./config.ts";
import type { PointHook } from "./crash-points.ts";
import { LiveProvider } from "./live-provider.ts";
import { waitForLock, watchLock } from "./owner-lock.ts";
import { checkPool } from "./pool-check.ts";
import { sandboxConfigOf } from "./sandbox-config.ts";
import { runTerm } from "./term.ts";

/** What one run of the adaptor is given beside its settings. */
export interface AdaptorSurroundings {
  /** Aborts when the process is to end. */
  readonly stop: AbortSignal;
  readonly programVersion: string;
  /** Of the crash matrix; undefined otherwise. */
  readonly points: PointHook | undefined;
}

/** Runs the control plane until `stop` aborts. Resolves to the exit status. */
export async function runAdaptor(
  config: AdaptorConfig,
  module: ProviderModule,
  surroundings: AdaptorSurroundings,
): Promise<number> {
  const { stop, programVersion, points } = surroundings;
  const log = createLog(config.logLevel, "adaptor");
  const clock = systemClock;
  for (const warning of config.warnings) log.warn(warning);
  const podsDirExisted = existsSync(config.paths.podsDir);
  makeFolder("PEERPODS_RUN_DIR", config.paths.runDir);
  await using opened = new AsyncDisposableStack();
  const admin = opened.adopt(await openAdminSide(config, { clock, log, programVersion }), (side) =>
    side.server.close(),
  );
  const sandboxConfig = new LiveValue(sandboxConfigOf(config));
  const networking = chooseNetworking(config, log, points);
  const first = withSizing(
    await module.create(
      {
        clock,
        exec: systemExec,
        log: log.child({ provider: module.name }),
        owner: sandboxConfig.current().owner,
        onCall: admin.metrics.onCall,
      },
      config.providerOptions,
    ),
    config.podVm.sizing,
  );
  const { provider } = opened.adopt(new LiveProvider(first, log), (live) => live.close());
  checkPool(config, provider);
  if (config.verifyCloudConfig) {
    admin.state.starting("asking the cloud whether the configuration is right");
    if (!(await verifies(provider, log, stop))) return 1;
  }
  makeFolder("PEERPODS_STATE_DIR", config.paths.stateDir);
  makeFolder("PODS_DIR", config.paths.podsDir);
  const bootId = readBootId(config.paths.bootIdFile);
  const lock = await waitForLock(config, { clock, log, onWait: () => admin.state.standingBy() }, stop);
  if (lock === undefined) return 0;
  admin.server.takePath();
  const node = { bootId, podsDirExisted };
  const lost = watchLock(lock, clock, log);
  const ended = AbortSignal.any([stop, lost.signal]);
  await runTerm({
    config,
    sandboxConfig,
    provider,
    networking,
    clock,
    log,
    node,
    stop: ended,
    programVersion,
    points,
    state: admin.state,
    onNotice: admin.notices.tell,
    metrics: admin.metrics,
  });
  lost.cancel();
  lock.release();
  return lost.signal.aborted ? 1 : 0;
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
