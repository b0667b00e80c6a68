import type { Provider, VmRef } from "../../providers/contract.ts";
import {
  type AdminCall,
  type AdminRoute,
  type ClusterStatus,
  type Found,
  findSandbox,
  type Health,
  type History,
  inspectSandbox,
  isoTime,
  json,
  type OwnedNode,
  reportPod,
  type Status,
} from "../admin/index.ts";
import { invalidRequest, unavailable, unsupported } from "../errors/index.ts";
import type { Clock, Live, LogLevel } from "../platform/index.ts";
import type { AdaptorState, Ownership } from "./adaptor-state.ts";
import type { AdaptorConfig } from "./config.ts";
import type { LiveSettings } from "./live-settings.ts";

/** How long a cloud may take to give a console. */
const CONSOLE_TIMEOUT_MS = 30_000;

/** What status and inspect are made from. */
export interface StatusSources {
  readonly clock: Clock;
  readonly config: AdaptorConfig;
  readonly programVersion: string;
  readonly startedMs: number;
  readonly state: AdaptorState;
  readonly health: Health;
  readonly history: History;
  readonly logLevel: Live<LogLevel>;
  readonly settings: LiveSettings;
  /** Undefined: not in Kubernetes. */
  readonly cluster: { readonly status: ClusterStatus } | undefined;
}

/** GET /status and GET /inspect?pod=KEY[&console=true]. */
export function statusRoutes(sources: StatusSources): readonly AdminRoute[] {
  return [
    { method: "GET", path: "/status", handle: () => json(reportStatus(sources)) },
    { method: "GET", path: "/inspect", handle: (call) => inspect(sources, call) },
  ];
}

function ownedNode({ history }: StatusSources, { journal, control }: Ownership): OwnedNode {
  return { sandboxes: journal.sandboxes(), vms: journal.vms(), control, history };
}

function reportStatus(sources: StatusSources): Status {
  const { config, clock, health } = sources;
  const { ownership } = sources.state;
  const ready = health.answer("ready");
  const live = health.answer("live");
  const proxy = ownership?.control.state.proxy;
  return {
    schema: 1,
    at: isoTime(clock.wallMs()),
    program: {
      version: sources.programVersion,
      node: process.version,
      pid: process.pid,
      startedAt: isoTime(sources.startedMs),
    },
    provider: config.provider,
    nodeName: config.node.name,
    clusterId: sources.settings.sandboxConfig.current().owner.clusterId,
    stage: ready.stage,
    ready: ready.ok,
    live: live.ok,
    reasons: [...new Set([...ready.reasons, ...live.reasons])],
    epoch: ownership?.epoch ?? null,
    shimProxy: {
      socket: config.paths.proxySocket,
      attached: proxy !== undefined,
      instanceId: proxy?.instanceId ?? null,
      version: proxy?.programVersion ?? null,
    },
    limit: reportLimit(sources.settings.sandboxConfig.current().limit, ownership),
    logLevel: sources.logLevel.current(),
    configuration: sources.settings.status,
    cluster: sources.cluster?.status ?? null,
    ...reportVms(sources, ownership),
  };
}

function reportLimit(limit: number, ownership: Ownership | undefined): Status["limit"] {
  const usage = ownership?.journal.usage() ?? { used: 0, deleting: 0 };
  return { most: limit < 0 ? null : limit, ...usage, pool: ownership?.journal.pool.vms().length ?? 0 };
}

function reportVms(
  sources: StatusSources,
  ownership: Ownership | undefined,
): Pick<Status, "pods" | "otherVms"> {
  if (ownership === undefined) return { pods: [], otherVms: [] };
  const node = ownedNode(sources, ownership);
  const ids = new Set(node.sandboxes.map((sandbox) => sandbox.id));
  const ownerless = node.vms.filter((vm) => vm.sandboxId === undefined || !ids.has(vm.sandboxId));
  const pooled = ownership.journal.pool.vms();
  return {
    pods: node.sandboxes.map((sandbox) => reportPod(node, sandbox)),
    otherVms: [
      ...ownerless.map((vm) => ({
        name: vm.name,
        id: vm.vmId ?? null,
        phase: vm.phase,
        since: isoTime(vm.changedMs),
        deleteAttempts: vm.deleteAttempts,
        lastError: vm.lastError ?? null,
      })),
      ...pooled.map((vm) => ({
        name: vm.name,
        id: vm.vmId ?? null,
        phase: `pool: ${vm.phase}`,
        since: isoTime(vm.createdMs),
        deleteAttempts: 0,
        lastError: null,
      })),
      ...ownership.journal.setAside.list().map((row) => ({
        name: row.vmName,
        id: null,
        phase: "unreadable",
        since: isoTime(row.createdMs),
        deleteAttempts: 0,
        lastError: row.problem,
      })),
    ],
  };
}

async function inspect(sources: StatusSources, { query, signal }: AdminCall) {
  const key = query.get("pod") ?? "";
  if (key === "") throw invalidRequest("inspect: say which pod: ?pod=namespace/name");
  const { ownership } = sources.state;
  if (ownership === undefined) {
    throw unavailable(
      `this adaptor knows no pods: ${sources.health.answer("ready").reasons.join("; ")}; ask the one that owns the node, or use "cloud-api-adaptor journal show"`,
    );
  }
  const node = ownedNode(sources, ownership);
  const found = findSandbox(node, key);
  const report = inspectSandbox(node, found, sources.clock.wallMs());
  if (query.get("console") !== "true") return json(report);
  const limited = AbortSignal.any([signal, sources.clock.timeout(CONSOLE_TIMEOUT_MS)]);
  return json({ ...report, console: await consoleOf(ownership.provider, vmRef(node, found), limited) });
}

function vmRef(node: OwnedNode, found: Found): VmRef {
  const vm = node.vms.find((candidate) => candidate.sandboxId === found.sandboxId);
  return { name: found.vmName, ...(vm?.vmId !== undefined && { id: vm.vmId }) };
}

async function consoleOf(provider: Provider, ref: VmRef, signal: AbortSignal): Promise<string> {
  if (provider.console === undefined)
    throw unsupported(
      `provider ${provider.name} gives no consoles; look at VM ${ref.name} in the cloud's own`,
    );
  return await provider.console(ref, signal);
}
