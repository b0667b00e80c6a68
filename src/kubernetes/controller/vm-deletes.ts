import { OwnerTag, POOL_SANDBOX, type Vm, type VmRef } from "../../../providers/contract.ts";
import { describeError, isCaaError } from "../../errors/index.ts";
import { labelValue } from "../client/index.ts";
import type { TermDeps } from "./deps.ts";
import { GO_VM_NAME } from "./names.ts";
import type { VmDeleteOutcome, VmDeleteReason } from "./notices.ts";
import { isCertainlyOlder, type PeerPodFacts } from "./peer-pod.ts";

/** One try; the next look tries again. */
const ATTEMPT_MS = 10 * 60_000;

/** What became of a PeerPod's VM; `refused` and `failed` keep the finalizer. */
export type PeerPodVmOutcome =
  | { readonly outcome: "deleted" | "gone" }
  | { readonly outcome: "refused" | "dry-run"; readonly why: string };

/** Deletes one VM that was proven to be nobody's. Failures are noticed and logged: the next look finds it again. */
export async function deleteOrphan(deps: TermDeps, vm: Vm, reason: VmDeleteReason): Promise<VmDeleteOutcome> {
  const { log, options } = deps;
  const fields = {
    step: "sweep",
    vmName: vm.name,
    sandboxId: vm.tags[OwnerTag.Sandbox] ?? "",
    reason,
    node: vm.tags[OwnerTag.Node] ?? "",
  };
  if (options.isDryRun) {
    log.warn("a VM that is nobody's would be deleted (dry run)", fields);
    deps.observe({ kind: "vm-delete", reason, outcome: "dry-run", vmName: vm.name, durationMs: 0 });
    return "dry-run";
  }
  log.warn("a VM that is nobody's is deleted", fields);
  try {
    await timedDelete(deps, { name: vm.name, id: vm.id }, reason);
    return "deleted";
  } catch (error) {
    deps.term.signal.throwIfAborted();
    log.warn("a VM that is nobody's could not be deleted; it is tried again", {
      ...fields,
      error: describeError(error),
    });
    return "failed";
  }
}

/**
 * Deletes the VM that a PeerPod names, if it is this cluster's: whoever may write PeerPods in a namespace must not be able to delete
 * other VMs of the account. `all` is every PeerPod. Throws what the cloud says when it fails.
 */
export async function deletePeerPodVm(
  deps: TermDeps,
  facts: PeerPodFacts,
  all: readonly PeerPodFacts[],
): Promise<PeerPodVmOutcome> {
  const { provider, options, term } = deps;
  const reason = "peer-pod";
  if (facts.provider !== "" && normalName(facts.provider) !== normalName(provider.name)) {
    const why = `its cloud is ${facts.provider}, this controller's is ${provider.name}`;
    return refused(deps, facts.instanceId, why);
  }
  const vm = await findVm(deps, facts);
  if (vm === undefined) {
    deps.observe({ kind: "vm-delete", reason, outcome: "gone", vmName: facts.instanceId, durationMs: 0 });
    return { outcome: "gone" };
  }
  const why = whyNotOurs(vm, facts, { clusterId: options.clusterId, all });
  if (why !== undefined) return refused(deps, vm.name, why);
  term.assertHeld();
  if (options.isDryRun) {
    deps.observe({ kind: "vm-delete", reason, outcome: "dry-run", vmName: vm.name, durationMs: 0 });
    return { outcome: "dry-run", why: `VM ${vm.name} would be deleted (dry run)` };
  }
  await timedDelete(deps, { name: vm.name, id: vm.id }, reason);
  return { outcome: "deleted" };
}

function refused(deps: TermDeps, vmName: string, why: string): PeerPodVmOutcome {
  deps.observe({ kind: "vm-delete", reason: "peer-pod", outcome: "refused", vmName, durationMs: 0 });
  return { outcome: "refused", why };
}

/** By its id; by its name or its sandbox's tag where the id was never written. */
async function findVm(deps: TermDeps, facts: PeerPodFacts): Promise<Vm | undefined> {
  const { provider, options, term } = deps;
  const { instanceId, vmName } = facts;
  if (instanceId !== "") {
    // Without its name, one that no VM has, so that only the id finds it; for a cloud whose ids are names it is the name.
    return await provider.get({ id: instanceId, name: vmName || instanceId }, term.signal);
  }
  if (vmName !== "") return await provider.get({ name: vmName }, term.signal);
  if (facts.sandboxId === "" || options.clusterId === "") return undefined;
  const all = await provider.list({ clusterId: options.clusterId }, term.signal);
  return all.find((vm) => isSandboxOf(vm, facts));
}

/** Where only the label is left it may be shortened. */
export function isSandboxOf(vm: Vm, facts: PeerPodFacts): boolean {
  const sandboxId = vm.tags[OwnerTag.Sandbox] ?? "";
  return (
    facts.sandboxId !== "" && (sandboxId === facts.sandboxId || labelValue(sandboxId) === facts.sandboxId)
  );
}

/** undefined: it is what the PeerPod says, as far as its tags tell. */
function whyNotOurs(
  vm: Vm,
  facts: PeerPodFacts,
  { clusterId, all }: { readonly clusterId: string; readonly all: readonly PeerPodFacts[] },
): string | undefined {
  const cluster = vm.tags[OwnerTag.Cluster] ?? "";
  if (cluster === "") {
    return GO_VM_NAME.test(vm.name)
      ? undefined
      : `VM ${vm.name} has no tag of this cluster, and a name that no adaptor gives; delete it by hand if it is a pod's`;
  }
  if (cluster !== clusterId) return `VM ${vm.name} is cluster ${cluster}'s, this is ${clusterId}`;
  if (vm.tags[OwnerTag.Sandbox] === POOL_SANDBOX) return whyNotFromPool(vm, facts, all);
  const namespace = vm.tags[OwnerTag.Namespace] ?? "";
  if (namespace !== "" && namespace !== facts.namespace) {
    return `VM ${vm.name} is of a pod in namespace ${namespace}, the PeerPod is in ${facts.namespace}`;
  }
  if (facts.sandboxId !== "" && (vm.tags[OwnerTag.Sandbox] ?? "") !== "" && !isSandboxOf(vm, facts)) {
    return `VM ${vm.name} is of another sandbox than the PeerPod`;
  }
  return undefined;
}

/**
 * Its tags do not say whose it became. The adaptor made the PeerPod when the pod took it, before anybody else could know of that, so
 * what names the VM later is not its pod's.
 */
function whyNotFromPool(vm: Vm, facts: PeerPodFacts, all: readonly PeerPodFacts[]): string | undefined {
  if (facts.nodeName !== vm.tags[OwnerTag.Node] || facts.vmName !== vm.name || facts.sandboxId === "") {
    return `VM ${vm.name} was made ahead of its pod, and the PeerPod does not name node, VM and sandbox as its adaptor does`;
  }
  // Whoever sees the adaptor's may write another in the same second, and through an API server whose clock is slow.
  const rival = all.find(
    (other) => other.uid !== facts.uid && other.instanceId === vm.id && !isCertainlyOlder(facts, other),
  );
  return rival === undefined
    ? undefined
    : `VM ${vm.name} may be that of PeerPod ${rival.namespace}/${rival.name}, which is older or of the same minute; delete the VM by hand if it is nobody's, and both are released`;
}

/** The Go chart and the Go program spell one provider in two ways. */
const normalName = (name: string): string => name.replaceAll("-", "").toLowerCase();

async function timedDelete(deps: TermDeps, ref: VmRef, reason: VmDeleteReason): Promise<void> {
  const { provider, clock, term, observe } = deps;
  term.assertHeld();
  const startedMs = clock.monotonicMs();
  const notice = (outcome: VmDeleteOutcome): void =>
    observe({
      kind: "vm-delete",
      reason,
      outcome,
      vmName: ref.name,
      durationMs: clock.monotonicMs() - startedMs,
    });
  try {
    await provider.delete(ref, AbortSignal.any([term.signal, clock.timeout(ATTEMPT_MS)]));
    notice("deleted");
  } catch (error) {
    // Clouds say 404 in many ways; a VM that is gone is what was wanted.
    if (isCaaError(error, "gone", "not-found")) return notice("gone");
    notice("failed");
    throw error;
  }
}
