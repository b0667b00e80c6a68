import type { CloudCall } from "../../providers/contract.ts";
import { describeError } from "../errors/index.ts";
import type { ControllerNotice } from "../kubernetes/controller/index.ts";
import type { Clock, Log } from "../platform/index.ts";
import { ADAPTOR } from "./adaptor-specs.ts";
import { CONTROLLER, CONTROLLER_SPECS } from "./controller-specs.ts";
import { MetricSet, type Report } from "./metric-set.ts";
import { type MetricsAddress, MetricsServer } from "./metrics-server.ts";

export interface ControllerMetricsDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly programVersion: string;
  readonly provider: string;
}

type Latest<K extends ControllerNotice["kind"]> = Extract<ControllerNotice, { readonly kind: K }> | undefined;

/** The metrics of one controller. Its `on...` functions never throw. */
export class ControllerMetrics {
  readonly #deps: ControllerMetricsDeps;
  readonly #set: MetricSet;
  #isLeader = false;
  #peerPods: Latest<"peer-pods">;
  #sweep: Latest<"sweep">;
  #shimProxies: Latest<"shim-proxies">;

  constructor(deps: ControllerMetricsDeps) {
    this.#deps = deps;
    this.#set = new MetricSet(CONTROLLER_SPECS, [(report) => this.#report(report)], (error) =>
      deps.log.debug("a part of the metrics is missing", { error: describeError(error) }),
    );
  }

  /** The text that Prometheus reads. */
  render(): Promise<string> {
    return this.#set.render();
  }

  /** Answers GET /metrics there until the returned function is called. */
  serve(address: MetricsAddress): () => Promise<void> {
    const { clock, log } = this.#deps;
    const server = MetricsServer.start({ clock, log, render: () => this.render() }, address);
    return () => server.close();
  }

  readonly onCall = (call: CloudCall): void => {
    const { provider } = this.#deps;
    const { operation, outcome } = call;
    this.#set.add(ADAPTOR.cloudCalls, { provider, operation, outcome });
    this.#set.observe(ADAPTOR.cloudDuration, { provider, operation }, call.durationMs / 1000);
    if (call.repeated) this.#set.add(ADAPTOR.cloudRepeats, { provider, operation });
  };

  readonly onNotice = (notice: ControllerNotice): void => {
    const set = this.#set;
    switch (notice.kind) {
      case "leader":
        this.#isLeader = notice.isLeader;
        if (!notice.isLeader) this.#forget();
        return;
      case "peer-pods":
        this.#peerPods = notice;
        return;
      case "sweep":
        this.#sweep = notice;
        set.add(CONTROLLER.sweeps, { outcome: "ok" });
        return;
      case "sweep-failed":
        set.add(CONTROLLER.sweeps, { outcome: "failed" });
        return;
      case "vm-delete":
        set.add(CONTROLLER.vmDeletes, { reason: notice.reason, outcome: notice.outcome });
        if (notice.outcome === "deleted")
          set.observe(CONTROLLER.vmDeleteDuration, {}, notice.durationMs / 1000);
        return;
      case "peer-pod":
        set.add(CONTROLLER.peerPodActions, { action: notice.action });
        return;
      case "shim-proxies":
        this.#shimProxies = notice;
        return;
      case "shim-proxy-replaced":
        set.add(CONTROLLER.shimProxiesReplaced, {});
        return;
    }
  };

  /** Another tells it now. */
  #forget(): void {
    this.#peerPods = undefined;
    this.#sweep = undefined;
    this.#shimProxies = undefined;
  }

  #report(report: Report): void {
    const { programVersion: version, provider } = this.#deps;
    report.set(ADAPTOR.buildInfo, { component: "controller", version, node: process.version, provider }, 1);
    report.set(CONTROLLER.leader, {}, this.#isLeader ? 1 : 0);
    if (this.#peerPods !== undefined) {
      const { total, deleting, waiting, living } = this.#peerPods;
      const states = { deleting, waiting, living, other: total - deleting };
      for (const [state, count] of Object.entries(states)) report.set(CONTROLLER.peerPods, { state }, count);
    }
    if (this.#sweep !== undefined) {
      report.set(CONTROLLER.vms, {}, this.#sweep.vms);
      for (const [reason, count] of Object.entries(this.#sweep.suspects)) {
        report.set(CONTROLLER.suspects, { reason }, count);
      }
    }
    if (this.#shimProxies !== undefined) {
      const { total, outdated } = this.#shimProxies;
      report.set(CONTROLLER.shimProxies, { revision: "current" }, total - outdated);
      report.set(CONTROLLER.shimProxies, { revision: "outdated" }, outdated);
    }
  }
}
