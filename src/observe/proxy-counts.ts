import type { ProxyStats } from "../shim-proxy/index.ts";
import { ADAPTOR } from "./adaptor-specs.ts";
import type { Report } from "./metric-set.ts";

/** What the shim-proxy tells. */
export type ProxyCounts = ProxyStats;

/** Kinds that are there from the start, so that a rate does not miss the first loss. */
const LOSS_KINDS = ["exit-code", "output-chunk", "oom-event", "call"];

export function reportProxy(report: Report, counts: ProxyCounts): void {
  report.set(ADAPTOR.proxyInfo, { version: counts.programVersion }, 1);
  report.set(ADAPTOR.proxyStart, {}, counts.startedMs / 1000);
  report.set(ADAPTOR.proxyMemory, {}, counts.residentBytes);
  report.set(ADAPTOR.proxyCpu, {}, counts.cpuMs / 1000);
  report.set(ADAPTOR.shimConnections, { to: "hypervisor" }, counts.hypervisorConnections);
  report.set(ADAPTOR.shimConnections, { to: "agent" }, counts.agentConnections);
  report.set(ADAPTOR.pendingCalls, { to: "hypervisor" }, counts.pendingCalls.hypervisor);
  report.set(ADAPTOR.pendingCalls, { to: "agent" }, counts.pendingCalls.agent);
  report.set(ADAPTOR.owedStops, {}, counts.owedStops);
  for (const [state, count] of Object.entries(counts.sandboxesByLink))
    report.set(ADAPTOR.links, { state }, count);
  report.set(ADAPTOR.linkBytes, { direction: "to-vm" }, counts.bytes.toVms);
  report.set(ADAPTOR.linkBytes, { direction: "from-vm" }, counts.bytes.fromVms);
  report.set(ADAPTOR.linkDials, { outcome: "ok" }, counts.dials - counts.dialsFailed);
  report.set(ADAPTOR.linkDials, { outcome: "failed" }, counts.dialsFailed);
  report.set(ADAPTOR.linkBreaks, {}, counts.links.broken);
  report.set(ADAPTOR.linkReconnects, {}, counts.links.healed);
  report.set(ADAPTOR.linksGivenUp, {}, counts.links.givenUp);
  const kinds = new Set([...LOSS_KINDS, ...counts.losses.keys()]);
  for (const kind of kinds) report.set(ADAPTOR.losses, { kind }, counts.losses.get(kind) ?? 0);
}
