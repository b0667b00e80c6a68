import type { ComputeManagementClient, VirtualMachine } from "@azure/arm-compute";
import { alreadyExists, type CaaError } from "../../src/errors/index.ts";
import { OwnerTag, type VmRequest } from "../contract.ts";
import { classifyError, nextWaitMs, pause, type RetryPolicy } from "../retry/index.ts";
import { azureFailure, isAlreadyThere } from "./arm/index.ts";
import { type AzureDeps, translator, type VmTarget } from "./deps.ts";
import { lifecycleOf } from "./vm-view.ts";

/** The SDK's handle of an operation that Azure works on. */
export type CreateOperation = ReturnType<ComputeManagementClient["virtualMachines"]["createOrUpdate"]>;

/** What became of the create call: Azure works on ours, or a VM of that name is ours already. */
export interface Submitted {
  /** Absent for an adopted VM: its own state is all there is to watch. */
  readonly operation: CreateOperation | undefined;
}

/** A create call is made at most three times; between them we look whether an earlier one arrived. */
const RETRY: RetryPolicy = { tries: 3, baseMs: 2000, capMs: 8000, budgetMs: 30_000 };

/**
 * Sends the create call so that a VM of that name is never changed: `If-None-Match: *`, and when one exists it is adopted
 * if its sandbox is ours. After an answer that was lost or came from a failing server it looks before it repeats. Throws
 * `already-exists` for another sandbox's VM, else what Azure's refusal means.
 */
export async function submitVm(
  deps: AzureDeps,
  call: {
    readonly target: VmTarget;
    readonly request: VmRequest;
    readonly body: VirtualMachine;
    readonly place: string;
  },
  signal: AbortSignal,
): Promise<Submitted> {
  const { target } = call;
  const translate = translator(deps, signal);
  for (let attempt = 1; ; attempt++) {
    let failed: CaaError;
    try {
      return await send(deps, call, signal);
    } catch (error) {
      failed = translate(error, `create VM ${target.name}`, call.place);
      const failure = azureFailure(error, deps.clock.wallMs());
      const exists = failure !== undefined && isAlreadyThere(failure);
      // No status: the call may have arrived. 5xx: it may have been carried out. A throttled one was not looked at.
      const unclear = failure === undefined || failure.status >= 500 || failure.status === 408;
      if (unclear) deps.uncertain.add(target.name);
      if (signal.aborted || !(exists || (unclear && classifyError(failed) === "retry"))) throw failed;
    }
    if ((await adopt(deps, call, signal)) === "ours") return { operation: undefined };
    if (attempt >= RETRY.tries) throw failed;
    await pause(
      deps.clock,
      nextWaitMs(RETRY, attempt, { askedMs: failed.retryAfterMs, random: () => 0.5 }),
      signal,
    );
  }
}

async function send(
  deps: AzureDeps,
  call: { readonly target: VmTarget; readonly body: VirtualMachine },
  signal: AbortSignal,
): Promise<Submitted> {
  const operation = deps.clients.compute.virtualMachines.createOrUpdate(
    call.target.group,
    call.target.name,
    call.body,
    { ifNoneMatch: "*", abortSignal: signal },
  );
  await operation.submitted();
  deps.uncertain.delete(call.target.name);
  // Never returned bare: the SDK's handle is a thenable, and awaiting it would poll by itself until the end.
  return { operation };
}

/** Whether a VM of that name is there and ours. One that is on its way out is waited for: then the name is free. */
async function adopt(
  deps: AzureDeps,
  call: { readonly target: VmTarget; readonly request: VmRequest },
  signal: AbortSignal,
): Promise<"ours" | "absent"> {
  const { target, request } = call;
  const translate = translator(deps, signal);
  let vm: VirtualMachine;
  try {
    vm = await deps.clients.compute.virtualMachines.get(target.group, target.name, { abortSignal: signal });
  } catch (error) {
    const failed = translate(error, `look for VM ${target.name}`);
    if (failed.kind === "gone") return "absent";
    throw failed;
  }
  const theirs = vm.tags?.[OwnerTag.Sandbox];
  const ours = request.tags[OwnerTag.Sandbox];
  if (theirs === undefined || theirs !== ours) {
    throw alreadyExists(
      `VM ${target.name} exists and belongs to ${theirs === undefined ? "nobody we know" : `sandbox ${theirs}`}: delete it, or rename the pod`,
    );
  }
  deps.uncertain.delete(target.name);
  if (lifecycleOf(vm) !== "deleting") {
    deps.log.info("adopted a VM that exists already", { vmName: target.name, sandboxId: ours ?? "" });
    return "ours";
  }
  await deps.groups.get(target.group).poll.wait(target.name, (one) => one === undefined, signal);
  return "absent";
}
