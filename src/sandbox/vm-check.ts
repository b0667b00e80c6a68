import type { Vm } from "../../providers/contract.ts";
import { describeError } from "../errors/index.ts";
import type { SandboxRecord, VmRecord } from "../journal/index.ts";
import type { Links } from "./links.ts";
import type { SandboxDeps } from "./ports.ts";
import { notify } from "./steps.ts";

type Deps = Pick<SandboxDeps, "clock" | "log" | "journal" | "provider" | "proxy" | "config" | "onNotice">;

/** Where the check is switched off: how often it is looked whether it was switched on. */
const OFF_INTERVAL_MS = 60_000;

interface BootedVm {
  readonly sandbox: SandboxRecord;
  readonly vm: VmRecord;
}

/** From the VM's address on, a StartVM that waits for its agent included. */
const isServed = (sandbox: SandboxRecord | undefined): boolean =>
  sandbox?.phase === "running" || sandbox?.phase === "starting";

const isUp = (vm: Vm | undefined): boolean => vm?.lifecycle === "running" || vm?.lifecycle === "creating";

/** From so many VMs on, one list is asked for before each of them is. */
const LIST_FROM = 10;

/**
 * Asks the cloud, every vmCheckIntervalMs, whether the VMs of sandboxes whose agent does not answer are still there. One that
 * answers is there, so a healthy node asks nothing: a fleet of them would use up what the cloud lets one account ask. A VM that
 * is gone is told to the shim-proxy, which ends the pod at once instead of waiting for a link that cannot come back. Runs until
 * aborted.
 */
export async function checkVmsForever(
  deps: Deps,
  links: Pick<Links, "isUp">,
  signal: AbortSignal,
): Promise<void> {
  const { clock, config, log } = deps;
  for (;;) {
    const { vmCheckIntervalMs } = config.current();
    await clock.sleep(vmCheckIntervalMs > 0 ? vmCheckIntervalMs : OFF_INTERVAL_MS, signal);
    if (config.current().vmCheckIntervalMs <= 0) continue;
    try {
      await checkVms(deps, links, signal);
    } catch (error) {
      signal.throwIfAborted();
      log.warn("the cloud cannot be asked whether the VMs are still there", { error: describeError(error) });
    }
  }
}

/** One round. Throws when the list fails; a VM that cannot be asked about keeps no other from being. */
export async function checkVms(deps: Deps, links: Pick<Links, "isUp">, signal: AbortSignal): Promise<void> {
  const silent = bootedVms(deps).filter(({ sandbox }) => !links.isUp(sandbox.id));
  if (silent.length === 0) return;
  const listed = silent.length < LIST_FROM ? undefined : await listByName(deps, signal);
  for (const one of silent) {
    if (isUp(listed?.get(one.vm.name))) continue;
    try {
      await checkVm(deps, one, signal);
    } catch (error) {
      signal.throwIfAborted();
      deps.log.warn("the cloud cannot be asked whether a VM is still there", {
        sandboxId: one.sandbox.id,
        vmName: one.vm.name,
        error: describeError(error),
      });
    }
  }
}

async function checkVm(deps: Deps, { sandbox, vm }: BootedVm, signal: AbortSignal): Promise<void> {
  const ref = vm.vmId === undefined ? { name: vm.name } : { name: vm.name, id: vm.vmId };
  const now = await deps.provider.get(ref, signal);
  if (isUp(now) || !isServed(deps.journal.sandbox(sandbox.id))) return;
  const reason =
    now === undefined
      ? `${deps.provider.name} says that VM ${vm.name} no longer exists`
      : `${deps.provider.name} says that VM ${vm.name} is ${now.lifecycle}${now.detail === undefined ? "" : ` (${now.detail})`}`;
  deps.log.error("the VM of a sandbox is gone; the pod is ended", {
    sandboxId: sandbox.id,
    vmName: vm.name,
    reason,
  });
  notify(deps, { kind: "vm-gone", sandboxId: sandbox.id, vmName: vm.name, reason });
  await deps.proxy.failLink(sandbox.id, reason, signal);
}

function bootedVms(deps: Deps): BootedVm[] {
  return deps.journal
    .sandboxes()
    .filter(isServed)
    .flatMap((sandbox) => {
      const vm = deps.journal.vmOf(sandbox.id);
      return vm?.phase === "running" ? [{ sandbox, vm }] : [];
    });
}

/** Undefined without a cluster id: then each VM is asked for by itself. */
async function listByName(deps: Deps, signal: AbortSignal): Promise<ReadonlyMap<string, Vm> | undefined> {
  const { clusterId, nodeName } = deps.config.current().owner;
  if (clusterId === "") return undefined;
  const vms = await deps.provider.list({ clusterId, nodeName }, signal);
  return new Map(vms.map((vm) => [vm.name, vm]));
}
