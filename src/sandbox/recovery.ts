import { describeError, isCaaError } from "../errors/index.ts";
import type { SandboxRecord } from "../journal/index.ts";
import type { OwedStopNotice, ProxySandbox, ProxySnapshot } from "../shim-proxy/index.ts";
import type { SandboxManager } from "./manager.ts";
import type { SandboxDeps } from "./ports.ts";
import type { ShimWatch } from "./shim-watch.ts";

/** What a new term of ownership finds. */
export interface Findings {
  readonly snapshot: ProxySnapshot;
  /** The shim-proxy is the one of the last term: its shims' connections have survived. */
  readonly sameProxy: boolean;
  /** The node has not been rebooted: shims, namespaces and devices may have survived. */
  readonly sameBoot: boolean;
}

interface Parts {
  readonly deps: SandboxDeps;
  readonly manager: SandboxManager;
  readonly watch: ShimWatch;
}

/**
 * Brings journal, shim-proxy and work together at the start of a term, which is the only way to start. Decides for each
 * sandbox what the table "who died, and then what" of docs/design/003-recovery.md says. Calls that the proxy holds are asked on
 * the frame socket afterwards; what they wait for is left as it is.
 */
export async function reconcile(parts: Parts, findings: Findings, signal: AbortSignal): Promise<void> {
  const { deps, manager } = parts;
  const held = new Set(findings.snapshot.heldCalls.map((call) => `${call.method} ${call.sandboxId}`));
  const left = new Set(findings.snapshot.callersLeft.map((call) => `${call.method} ${call.sandboxId}`));
  const seen = new Map(findings.snapshot.sandboxes.map((sandbox) => [sandbox.id, sandbox]));
  for (const owed of findings.snapshot.owedStops) await settleOwedStop(parts, owed, signal);
  for (const { problem, vmName } of deps.journal.setAside.list()) deps.log.error(problem, { vmName });
  for (const record of deps.journal.sandboxes()) {
    signal.throwIfAborted();
    if (!findings.sameBoot && record.phase !== "stopping") {
      deps.log.warn("the node was rebooted; the sandbox and its VM are removed", { sandboxId: record.id });
      manager.recordStop(record.id);
      continue;
    }
    const waitedFor = (method: string): boolean =>
      held.has(`${method} ${record.id}`) && !left.has(`${method} ${record.id}`);
    await reconcileOne(parts, record, { findings, seen: seen.get(record.id), waitedFor }, signal);
  }
  for (const vm of deps.journal.vms()) {
    if (vm.phase === "deleting" && vm.sandboxId === undefined) manager.deleteVm(vm.name, vm.vmId);
  }
}

/** What is found of one sandbox. */
interface Found {
  readonly findings: Findings;
  /** By the shim-proxy. */
  readonly seen: ProxySandbox | undefined;
  readonly waitedFor: (method: string) => boolean;
}

async function reconcileOne(
  parts: Parts,
  record: SandboxRecord,
  { findings, seen, waitedFor }: Found,
  signal: AbortSignal,
): Promise<void> {
  const { deps, manager, watch } = parts;
  switch (record.phase) {
    case "stopping":
    case "failed":
      manager.resume(record);
      return;
    case "creating":
      if (!waitedFor("CreateVM")) manager.undo(record, "the shim left during CreateVM");
      return;
    case "created":
      await replaceSocket(deps, record.id, signal);
      manager.resume(record);
      return;
    case "starting":
      if (!findings.sameProxy) manager.undo(record, "the shim-proxy was replaced during StartVM");
      else if (!waitedFor("StartVM")) manager.undo(record, "the shim left during StartVM");
      return;
    case "running":
      if (!findings.sameProxy) watch.suspect(record.id, "the shim-proxy was replaced");
      else if (seen === undefined) watch.suspect(record.id, "the shim-proxy does not know the sandbox");
      else if (seen.connections.open > 0) watch.trust(record.id);
      else if (seen.connections.ever) watch.suspect(record.id, "the shim has closed its agent connections");
      else watch.expectConnection(record.id);
      return;
  }
}

/** A proxy that was replaced has not placed the sockets of sandboxes that wait for their StartVM; repeating it is harmless. */
async function replaceSocket(deps: SandboxDeps, id: string, signal: AbortSignal): Promise<void> {
  try {
    const dir = `${deps.config.current().podsDir}/${id}`;
    deps.files.makeDir(dir);
    await deps.proxy.putSandbox(id, dir, signal);
  } catch (error) {
    signal.throwIfAborted();
    deps.log.error("the agent socket of a sandbox could not be placed again", {
      sandboxId: id,
      error: describeError(error),
    });
  }
}

/**
 * Journals a stop that the proxy remembers, tells the proxy, and lets the stop run. An id that no sandbox can have has
 * nothing to stop: kept, it would come again at every attach.
 */
export async function settleOwedStop(
  parts: Pick<Parts, "deps" | "manager">,
  owed: OwedStopNotice,
  signal: AbortSignal,
): Promise<void> {
  try {
    parts.manager.recordStop(owed.sandboxId);
  } catch (error) {
    if (!isCaaError(error, "invalid-request")) throw error;
    parts.deps.log.warn("a stop of what is no sandbox is forgotten", { error: describeError(error) });
  }
  await parts.deps.proxy.ackStop(owed.sandboxId, signal);
}
