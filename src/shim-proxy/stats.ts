import type { Event, StatsResponse } from "../gen/shimproxy/control.ts";
import type { AgentFront } from "./agent-front.ts";
import type { LinkStateName } from "./control-types.ts";
import type { Counts } from "./counts.ts";
import type { HypervisorFront } from "./hypervisor-front.ts";
import { decodeLinkState } from "./wire-names.ts";

export interface StatsSources {
  readonly instanceId: string;
  readonly programVersion: string;
  readonly hypervisor: HypervisorFront;
  readonly agents: AgentFront;
  readonly counts: Counts;
}

/** What the Stats call answers. */
export function statsOf(sources: StatsSources): StatsResponse {
  const { hypervisor, counts } = sources;
  const cpu = process.cpuUsage();
  const sandboxes = sources.agents.snapshot();
  const linked = (state: LinkStateName): number =>
    sandboxes.filter((event) => linkOf(event) === state).length;
  return {
    instanceId: sources.instanceId,
    programVersion: sources.programVersion,
    startedMs: BigInt(counts.startedMs),
    residentBytes: BigInt(process.memoryUsage.rss()),
    cpuMs: BigInt(Math.round((cpu.user + cpu.system) / 1000)),
    hypervisorConnections: hypervisor.connections,
    hypervisorCalls: hypervisor.calls,
    agentConnections: sandboxes.reduce((sum, { sandbox }) => sum + (sandbox?.connections?.open ?? 0), 0),
    agentCalls: counts.agentCalls,
    owedStops: hypervisor.owedStops,
    sandboxesUnlinked: sandboxes.filter((event) => linkOf(event) === undefined).length,
    linksDialing: linked("dialing"),
    linksUp: linked("up"),
    linksDown: linked("down"),
    linksLost: linked("lost"),
    bytesToVms: BigInt(counts.bytesTo),
    bytesFromVms: BigInt(counts.bytesFrom),
    dials: BigInt(counts.dials),
    dialsFailed: BigInt(counts.dialsFailed),
    linksBroken: BigInt(counts.linksBroken),
    linksHealed: BigInt(counts.linksHealed),
    linksGivenUp: BigInt(counts.linksGivenUp),
    losses: [...counts.losses].map(([kind, count]) => ({ kind, count: BigInt(count) })),
  };
}

const linkOf = ({ sandbox }: Event): LinkStateName | undefined =>
  sandbox?.link === undefined ? undefined : decodeLinkState(sandbox.link.state);
