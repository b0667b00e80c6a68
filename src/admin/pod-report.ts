import type { SandboxRecord, VmRecord } from "../journal/index.ts";
import type { ControlPlane } from "../sandbox/index.ts";
import type { History } from "./history.ts";
import type { PodStatus } from "./status.ts";

/** What a report is made from while this process owns the node. */
export interface OwnedNode {
  readonly sandboxes: readonly SandboxRecord[];
  readonly vms: readonly VmRecord[];
  readonly control: Pick<ControlPlane, "link" | "progress">;
  readonly history: History;
}

export const isoTime = (ms: number): string => new Date(ms).toISOString();

/** One pod as `status` and `inspect` show it. */
export function reportPod(node: OwnedNode, sandbox: SandboxRecord): PodStatus {
  const vm = node.vms.find((candidate) => candidate.sandboxId === sandbox.id);
  const link = node.control.link(sandbox.id);
  return {
    namespace: sandbox.podNamespace,
    name: sandbox.podName,
    uid: sandbox.podUid ?? null,
    sandboxId: sandbox.id,
    phase: sandbox.phase,
    createdAt: isoTime(sandbox.createdMs),
    changedAt: isoTime(sandbox.changedMs),
    vm: {
      name: sandbox.vmName,
      id: vm?.vmId ?? null,
      phase: vm?.phase ?? null,
      addresses: [...(vm?.addresses ?? [])],
      deleteAttempts: vm?.deleteAttempts ?? 0,
    },
    tunnel: { type: "vxlan", id: sandbox.vxlanId ?? null, made: sandbox.tunnelJson !== undefined },
    link: {
      state: link?.state ?? null,
      reason: link?.reason ?? "",
      breaks: link?.breaks ?? 0,
      losses: node.history.of(sandbox.id)?.losses ?? 0,
    },
    doing: doing(node, sandbox, vm),
    lastError: lastError(node, sandbox, vm),
  };
}

function doing(node: OwnedNode, sandbox: SandboxRecord, vm: VmRecord | undefined): PodStatus["doing"] {
  const since = (text: string, ms: number) => ({ text, since: isoTime(ms) });
  switch (sandbox.phase) {
    case "creating":
      return since("preparing the pod's network, keys and user data", sandbox.createdMs);
    case "created":
      return since("waiting for the shim's StartVM", sandbox.changedMs);
    case "starting": {
      const text = node.control.progress(sandbox.id) ?? "starting";
      return since(text, node.history.waitingSinceMs(sandbox.id, text) ?? sandbox.changedMs);
    }
    case "running":
      return null;
    case "failed":
    case "stopping": {
      if (vm === undefined)
        return sandbox.phase === "failed" ? null : since("removing what is left", sandbox.changedMs);
      const attempt = vm.deleteAttempts > 0 ? `, attempt ${vm.deleteAttempts + 1}` : "";
      return since(`deleting the VM${attempt}`, vm.changedMs);
    }
  }
}

function lastError(
  node: OwnedNode,
  sandbox: SandboxRecord,
  vm: VmRecord | undefined,
): PodStatus["lastError"] {
  if (vm?.lastError !== undefined) return { kind: "vm.delete", text: vm.lastError };
  if (sandbox.failure !== undefined) return { kind: sandbox.failure.kind, text: sandbox.failure.message };
  const remembered = node.history.of(sandbox.id)?.cloudErrors.at(-1);
  return remembered === undefined ? null : { kind: remembered.kind, text: remembered.text };
}
