import type { StatsResponse } from "../gen/shimproxy/control.ts";
import type { LinkStateName } from "./control-types.ts";

/** How busy a shim-proxy is, and what it has counted since its process began. */
export interface ProxyStats {
  readonly programVersion: string;
  readonly startedMs: number;
  readonly residentBytes: number;
  readonly cpuMs: number;
  readonly hypervisorConnections: number;
  /** Calls that shims wait for now. */
  readonly pendingCalls: { readonly hypervisor: number; readonly agent: number };
  readonly agentConnections: number;
  readonly owedStops: number;
  /** Sandboxes now; `none`: those that have no VM yet. */
  readonly sandboxesByLink: Readonly<Record<LinkStateName | "none", number>>;
  readonly bytes: { readonly toVms: number; readonly fromVms: number };
  readonly dials: number;
  readonly dialsFailed: number;
  readonly links: { readonly broken: number; readonly healed: number; readonly givenUp: number };
  /** By kind: exit-code, output-chunk, oom-event, call. */
  readonly losses: ReadonlyMap<string, number>;
}

/** Kinds of losses that are told apart; the answer comes from another process, and a set of labels must stay small. */
const MAX_LOSS_KINDS = 16;

export function decodeStats(answer: StatsResponse): ProxyStats {
  const losses = answer.losses.slice(0, MAX_LOSS_KINDS);
  return {
    programVersion: answer.programVersion,
    startedMs: Number(answer.startedMs),
    residentBytes: Number(answer.residentBytes),
    cpuMs: Number(answer.cpuMs),
    hypervisorConnections: answer.hypervisorConnections,
    pendingCalls: { hypervisor: answer.hypervisorCalls, agent: answer.agentCalls },
    agentConnections: answer.agentConnections,
    owedStops: answer.owedStops,
    sandboxesByLink: {
      none: answer.sandboxesUnlinked,
      dialing: answer.linksDialing,
      up: answer.linksUp,
      down: answer.linksDown,
      lost: answer.linksLost,
    },
    bytes: { toVms: Number(answer.bytesToVms), fromVms: Number(answer.bytesFromVms) },
    dials: Number(answer.dials),
    dialsFailed: Number(answer.dialsFailed),
    links: {
      broken: Number(answer.linksBroken),
      healed: Number(answer.linksHealed),
      givenUp: Number(answer.linksGivenUp),
    },
    losses: new Map(losses.map(({ kind, count }) => [kind, Number(count)])),
  };
}
