import type { CloudCall } from "../../providers/contract.ts";
import { describeError } from "../errors/index.ts";
import type { JournalCounts, JournalWrite } from "../journal/index.ts";
import type { Clock, Log } from "../platform/index.ts";
import type { LifecycleNotice } from "../sandbox/index.ts";
import { ADAPTOR, ADAPTOR_SPECS } from "./adaptor-specs.ts";
import { MetricSet, type Report } from "./metric-set.ts";
import { type ProxyCounts, reportProxy } from "./proxy-counts.ts";

/** How old an answer about the quota may be: the cloud is not asked at every scrape. */
const QUOTA_AGE_MS = 5 * 60_000;
const QUOTA_TIMEOUT_MS = 60_000;

export interface AdaptorMetricsDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly programVersion: string;
  readonly provider: string;
}

/** What is asked at each scrape while this adaptor owns the node. */
export interface OwnerSources {
  readonly epoch: number;
  /** PEERPODS_LIMIT_PER_NODE now; negative: no limit. */
  readonly limit: () => number;
  readonly journal: () => JournalCounts;
  readonly proxy: () => ProxyState | Promise<ProxyState>;
  /** Where the cloud tells: how many more VMs of the default size fit. */
  readonly quota?: ((signal: AbortSignal) => Promise<number | undefined>) | undefined;
}

export interface ProxyState {
  readonly attached: boolean;
  /** Undefined: the proxy is older than the call for its counts, or did not answer. */
  readonly counts: ProxyCounts | undefined;
}

const SANDBOX_STATES = ["creating", "created", "starting", "running", "failed", "stopping"];
const VM_STATES = ["intended", "created", "running", "deleting"];
const POOL_STATES = ["intended", "created", "waiting"];

/** The metrics of one adaptor. Its `on...` functions never throw, and cost next to nothing until somebody asks for the text. */
export class AdaptorMetrics {
  readonly #deps: AdaptorMetricsDeps;
  readonly #set: MetricSet;
  #owner: OwnerSources | undefined;
  #quota: { readonly atMs: number; readonly left: number | undefined } | undefined;
  #askingQuota = false;
  #orphans: number | undefined;

  constructor(deps: AdaptorMetricsDeps) {
    this.#deps = deps;
    const sources = [
      (report: Report) => this.#reportProcess(report),
      (report: Report) => this.#reportJournal(report),
      (report: Report) => this.#reportProxy(report),
      (report: Report) => this.#reportQuota(report),
    ];
    this.#set = new MetricSet(ADAPTOR_SPECS, sources, (error) =>
      deps.log.debug("a part of the metrics is missing", { error: describeError(error) }),
    );
  }

  /** The text that Prometheus reads. */
  render(): Promise<string> {
    return this.#set.render();
  }

  /** From now until the returned function is called this adaptor owns the node. */
  own(sources: OwnerSources): () => void {
    this.#owner = sources;
    return () => {
      if (this.#owner === sources) this.#owner = undefined;
    };
  }

  readonly onCall = (call: CloudCall): void => {
    const { provider } = this.#deps;
    const { operation, outcome } = call;
    this.#set.add(ADAPTOR.cloudCalls, { provider, operation, outcome });
    this.#set.observe(ADAPTOR.cloudDuration, { provider, operation }, call.durationMs / 1000);
    if (call.repeated) this.#set.add(ADAPTOR.cloudRepeats, { provider, operation });
  };

  readonly onJournalWrite = (write: JournalWrite): void => {
    this.#set.add(ADAPTOR.journalWrites, { outcome: write.ok ? "ok" : "failed" });
    this.#set.observe(ADAPTOR.journalDuration, {}, write.durationMs / 1000);
  };

  readonly onNotice = (notice: LifecycleNotice): void => {
    const set = this.#set;
    switch (notice.kind) {
      case "done":
        set.observe(ADAPTOR.stepDuration, { step: notice.step }, notice.durationMs / 1000);
        return;
      case "failed": {
        const { kind } = notice.error;
        set.add(ADAPTOR.stepFailures, { step: notice.step, kind });
        if (notice.step === "create" || notice.step === "start") set.add(ADAPTOR.refusals, { kind });
        return;
      }
      case "abandoned":
        set.add(ADAPTOR.abandoned, {});
        return;
      case "vm-gone":
        set.add(ADAPTOR.vmsGone, {});
        return;
      case "orphan":
        set.add(ADAPTOR.orphans, { action: notice.action });
        return;
      case "reaper-round":
        set.add(ADAPTOR.reaperRounds, { outcome: notice.ownerless === undefined ? "failed" : "ok" });
        this.#orphans = notice.ownerless ?? this.#orphans;
        return;
      default:
        // Progress is for people; links and losses are counted by the shim-proxy, which outlives us.
        return;
    }
  };

  #reportProcess(report: Report): void {
    const { programVersion, provider } = this.#deps;
    const node = process.version;
    report.set(ADAPTOR.buildInfo, { component: "adaptor", version: programVersion, node, provider }, 1);
    report.set(ADAPTOR.owner, {}, this.#owner === undefined ? 0 : 1);
    if (this.#owner !== undefined) report.set(ADAPTOR.epoch, {}, this.#owner.epoch);
    if (this.#orphans !== undefined) report.set(ADAPTOR.orphanVms, {}, this.#orphans);
  }

  #reportJournal(report: Report): void {
    const counts = this.#owner?.journal();
    if (counts === undefined) return;
    for (const state of SANDBOX_STATES)
      report.set(ADAPTOR.sandboxes, { state }, counts.sandboxes.get(state) ?? 0);
    for (const state of VM_STATES) report.set(ADAPTOR.vms, { state }, counts.vms.get(state) ?? 0);
    for (const state of POOL_STATES) report.set(ADAPTOR.poolVms, { state }, counts.pool.get(state) ?? 0);
    report.set(ADAPTOR.slotsUsed, {}, counts.slotsUsed);
    const limit = this.#owner?.limit() ?? -1;
    if (limit >= 0) report.set(ADAPTOR.slotsLimit, {}, limit);
    report.set(ADAPTOR.deletesFailing, {}, counts.deletesFailing);
    report.set(ADAPTOR.journalBytes, { file: "database" }, counts.databaseBytes);
    report.set(ADAPTOR.journalBytes, { file: "log" }, counts.logBytes);
  }

  async #reportProxy(report: Report): Promise<void> {
    const state = await this.#owner?.proxy();
    if (state === undefined) return;
    report.set(ADAPTOR.proxyAttached, {}, state.attached ? 1 : 0);
    if (state.counts !== undefined) reportProxy(report, state.counts);
  }

  /** The last answer; a new one is asked for behind, so that no scrape waits for the cloud. */
  #reportQuota(report: Report): void {
    const { clock, log } = this.#deps;
    const left = this.#quota?.left;
    if (left !== undefined) report.set(ADAPTOR.quotaLeft, {}, left);
    const ask = this.#owner?.quota;
    const fresh = this.#quota !== undefined && clock.monotonicMs() - this.#quota.atMs < QUOTA_AGE_MS;
    if (ask === undefined || fresh || this.#askingQuota) return;
    this.#askingQuota = true;
    void ask(clock.timeout(QUOTA_TIMEOUT_MS))
      .catch((error: unknown) => {
        log.debug("the cloud's quota is not known", { error: describeError(error) });
        return undefined;
      })
      .then((answer) => {
        this.#quota = { atMs: clock.monotonicMs(), left: answer };
        this.#askingQuota = false;
      });
  }
}
