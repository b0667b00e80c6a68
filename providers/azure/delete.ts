import type { ComputeManagementClient, VirtualMachine } from "@azure/arm-compute";
import { unavailable } from "../../src/errors/index.ts";
import type { VmRef } from "../contract.ts";
import { classifyError, pause, type RetryPolicy, retry } from "../retry/index.ts";
import { type AzureDeps, about, locateVm, translator, type VmTarget } from "./deps.ts";
import { removeLeftovers } from "./leftovers.ts";
import { lifecycleOf } from "./vm-view.ts";

type DeleteOperation = ReturnType<ComputeManagementClient["virtualMachines"]["delete"]>;

/** A delete that collides with another operation, or fails in the middle, is begun again. */
const RETRY: RetryPolicy = { tries: 6, baseMs: 5000, capMs: 30_000, budgetMs: 150_000 };

/** But not once this much has gone by: the caller repeats a delete that failed, and may know better by then. */
const BEGIN_AGAIN_MS = 300_000;

/** Looks for a VM whose create call may still arrive, and the time between them. */
const UNCERTAIN_LOOKS = 4;
const UNCERTAIN_PAUSE_MS = 5000;

/**
 * Deletes the VM and resolves when it, its interface, its OS disk and its public address are gone; what is gone already is
 * success. Data disks are detached and kept.
 */
export async function deleteVm(deps: AzureDeps, ref: VmRef, signal: AbortSignal): Promise<void> {
  const target = locateVm(deps.config, ref);
  try {
    await deleteAll(deps, target, signal);
  } catch (error) {
    throw about(translator(deps, signal)(error, `delete VM ${target.name}`), target.name);
  }
}

async function deleteAll(deps: AzureDeps, target: VmTarget, signal: AbortSignal): Promise<void> {
  const translate = translator(deps, signal);
  const untilMs = deps.clock.monotonicMs() + BEGIN_AGAIN_MS;
  await retry(
    { clock: deps.clock },
    {
      policy: RETRY,
      retryable: (error) => classifyError(error) === "retry" && deps.clock.monotonicMs() < untilMs,
      operation: async () => {
        try {
          await removeVm(deps, target, signal);
          await awaitStragglers(deps, target, signal);
          await removeLeftovers(deps, target, signal);
        } catch (error) {
          throw translate(error, `delete VM ${target.name}`);
        }
      },
    },
    signal,
  );
}

async function removeVm(deps: AzureDeps, target: VmTarget, signal: AbortSignal): Promise<void> {
  const options = { abortSignal: signal };
  const operation = deps.clients.compute.virtualMachines.delete(target.group, target.name, options);
  try {
    await operation.submitted();
  } catch (error) {
    if (translator(deps, signal)(error, "delete").kind === "gone") return;
    throw error;
  }
  const { poll } = deps.groups.get(target.group);
  while (!operation.isDone) {
    const vm = await poll.wait(target.name, isNoLongerLeaving, signal);
    const state = await askOperation(deps, operation, signal);
    if (state === "unknown" && vm === undefined) return;
    if (state === "unknown") throw unavailable(`the delete of VM ${target.name} was lost sight of`);
  }
}

function isNoLongerLeaving(vm: VirtualMachine | undefined): boolean {
  return vm === undefined || lifecycleOf(vm) !== "deleting";
}

/** One look at the operation; `unknown` when Azure does not answer that question, and the VM's absence has to do. */
async function askOperation(
  deps: AzureDeps,
  operation: DeleteOperation,
  signal: AbortSignal,
): Promise<"known" | "unknown"> {
  try {
    await operation.poll({ abortSignal: signal });
    return "known";
  } catch (error) {
    const failed = translator(deps, signal)(error, "read the state of a delete");
    if (failed.kind === "gone" || (classifyError(failed) === "retry" && isAnswerless(error)))
      return "unknown";
    throw error;
  }
}

/** A failure to read, in contrast to a delete that failed. */
function isAnswerless(error: unknown): boolean {
  return !(error instanceof Error && error.message.startsWith("The long-running operation has failed"));
}

/** A create call without an answer may reach Azure after our delete: then the VM is met here, and deleted. */
async function awaitStragglers(deps: AzureDeps, target: VmTarget, signal: AbortSignal): Promise<void> {
  if (!deps.uncertain.has(target.name)) return;
  const group = deps.groups.get(target.group);
  for (let look = 1; look <= UNCERTAIN_LOOKS; look++) {
    await pause(deps.clock, UNCERTAIN_PAUSE_MS, signal);
    if (await group.find(target.name, signal)) await removeVm(deps, target, signal);
  }
  deps.uncertain.delete(target.name);
}
