import type { VirtualMachine } from "@azure/arm-compute";
import {
  type CaaError,
  cancelled,
  deadlineExceeded,
  gone,
  invalidRequest,
  tooLarge,
} from "../../src/errors/index.ts";
import type { CreateOptions, Vm, VmRequest } from "../contract.ts";
import { classifyError } from "../retry/index.ts";
import { awaitAddresses } from "./addresses.ts";
import { azureFailure, fromFailure } from "./arm/index.ts";
import { deleteVm } from "./delete.ts";
import { type AzureDeps, about, translator, type VmTarget, vmId } from "./deps.ts";
import { chooseImage } from "./image.ts";
import type { Placement } from "./placement.ts";
import { type CreateOperation, submitVm } from "./submit.ts";
import { buildVm, MAX_USER_DATA_BYTES } from "./vm-body.ts";
import { failureOf, isSettled, lifecycleOf, viewVm } from "./vm-view.ts";
import { checkVolumes } from "./volumes.ts";

/**
 * Makes the VM and waits until Azure calls it ready and it has an address. Where a size or zone has no room the next one is
 * tried, up to three in all, after what is left of the failed one is deleted.
 */
export async function createVm(deps: AzureDeps, request: VmRequest, options: CreateOptions): Promise<Vm> {
  refuseUnservable(request);
  const deadline = new AbortController();
  const stop = deps.clock.schedule(deps.config.createTimeoutMs, () => deadline.abort());
  const signal = AbortSignal.any([options.signal, deadline.signal]);
  try {
    return await createSomewhere(deps, request, { ...options, signal });
  } catch (error) {
    if (options.signal.aborted) {
      throw cancelled(`gave up to create VM ${request.name}: the caller cancelled`, { cause: error });
    }
    if (deadline.signal.aborted) {
      throw deadlineExceeded(
        `VM ${request.name} was not ready within ${Math.round(deps.config.createTimeoutMs / 1000)} s (AZURE_CREATE_TIMEOUT): check that the image's guest reports ready to Azure`,
        { cause: error },
      );
    }
    throw about(translator(deps, signal)(error, `create VM ${request.name}`), request.name);
  } finally {
    stop();
  }
}

/** What no call to Azure could make right. */
function refuseUnservable(request: VmRequest): void {
  const bytes = Buffer.byteLength(request.userData.reveal());
  if (bytes > MAX_USER_DATA_BYTES) {
    throw tooLarge(
      `user data of VM ${request.name} has ${bytes} bytes and Azure takes ${MAX_USER_DATA_BYTES}: shorten the initdata or the registry credentials`,
    );
  }
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(request.name)) {
    throw invalidRequest(`${JSON.stringify(request.name)} is not a VM name that Azure takes`);
  }
}

async function createSomewhere(deps: AzureDeps, request: VmRequest, options: CreateOptions): Promise<Vm> {
  const { signal } = options;
  const image = chooseImage(request.image || deps.config.imageId);
  const [placements, sshPublicKey] = await Promise.all([
    deps.placements.plan(request.size, signal),
    deps.sshPublicKey(),
  ]);
  let last: CaaError | undefined;
  for (const placement of placements) {
    if (last) {
      options.onProgress(`no room so far; trying ${nameOf(placement)}`);
      await deleteVm(deps, { name: request.name }, signal);
    }
    try {
      await checkVolumes({ ...deps, compute: deps.clients.compute }, request, { placement, signal });
      const { config } = deps;
      const body = buildVm({
        ...placement,
        config,
        request,
        image,
        sshPublicKey,
        createdAtMs: deps.clock.wallMs(),
      });
      return await createAt(deps, { request, placement, body }, options);
    } catch (error) {
      const failed = translator(deps, signal)(error, `create VM ${request.name}`, nameOf(placement));
      if (classifyError(failed) !== "elsewhere") throw failed;
      deps.placements.recordMiss(placement);
      deps.log.warn("no room for a VM", { vmName: request.name, step: "create", error: failed.message });
      last = failed;
    }
  }
  throw last ?? invalidRequest(`no size and zone are left to try for VM ${request.name}`);
}

async function createAt(
  deps: AzureDeps,
  plan: { readonly request: VmRequest; readonly placement: Placement; readonly body: VirtualMachine },
  options: CreateOptions,
): Promise<Vm> {
  const { signal } = options;
  const { request } = plan;
  const target: VmTarget = { group: deps.config.resourceGroup, name: request.name };
  const place = nameOf(plan.placement);
  options.onProgress(`asking Azure for ${place}`);
  const submitted = await submitVm(deps, { target, request, body: plan.body, place }, signal);
  options.onId(vmId(deps.config, target));
  options.onProgress(`waiting for Azure to start ${place}`);
  const vm = await awaitReady(deps, { target, place, operation: submitted.operation }, signal);
  options.onProgress("waiting for the VM's address");
  const addresses = await awaitAddresses(
    { network: deps.clients.network, clock: deps.clock, publicIp: deps.config.publicIp },
    vm,
    signal,
  );
  return viewVm(vm, addresses);
}

/** Waits until the VM is made, together with everyone else who waits for one. Throws what its failure means. */
async function awaitReady(
  deps: AzureDeps,
  waited: {
    readonly target: VmTarget;
    readonly place: string;
    readonly operation: CreateOperation | undefined;
  },
  signal: AbortSignal,
): Promise<VirtualMachine> {
  const { target, place } = waited;
  const what = `create VM ${target.name}`;
  let operation = waited.operation;
  for (;;) {
    const vm = await deps.groups.get(target.group).poll.wait(target.name, isSettled, signal);
    // A VM that Azure shows as made needs no second question; one that failed does, for the reason.
    if (vm !== undefined && lifecycleOf(vm) === "running") return vm;
    const verdict = operation ? await askOperation(deps, operation, { what, place, signal }) : "unknown";
    if (verdict === "running") continue;
    if (verdict === "unknown") operation = undefined;
    // A list may be older than the VM.
    const made = vm ?? (await deps.groups.get(target.group).find(target.name, signal));
    if (!made) throw gone(`VM ${target.name} disappeared while it was made: somebody deleted it`);
    if (!isSettled(made)) continue;
    if (!failureOf(made)) return made;
    throw await explainFailure(deps, { target, place, what }, signal);
  }
}

/** Asks how the operation went. `unknown`: Azure does not tell any more, and the VM's own state has to do. */
async function askOperation(
  deps: AzureDeps,
  operation: CreateOperation,
  about: { readonly what: string; readonly place: string; readonly signal: AbortSignal },
): Promise<"done" | "running" | "unknown"> {
  try {
    await operation.poll({ abortSignal: about.signal });
    return operation.isDone ? "done" : "running";
  } catch (error) {
    const failed = translator(deps, about.signal)(error, about.what, about.place);
    if (azureFailure(error, deps.clock.wallMs())?.status === 0 || about.signal.aborted) throw failed;
    deps.log.warn("the operation's state could not be read: the VM's own is used", {
      step: "create",
      error: failed.message,
    });
    return "unknown";
  }
}

/** The reason in the VM's instance view, where no operation tells it. */
async function explainFailure(
  deps: AzureDeps,
  about: { readonly target: VmTarget; readonly place: string; readonly what: string },
  signal: AbortSignal,
): Promise<CaaError> {
  const { target } = about;
  try {
    const vm = await deps.clients.compute.virtualMachines.get(target.group, target.name, {
      expand: "instanceView",
      abortSignal: signal,
    });
    const failure = failureOf(vm);
    if (!failure) return gone(`VM ${target.name} changed its state while it was read: try again`);
    return fromFailure(failure, { what: about.what, place: about.place, nowMs: deps.clock.wallMs() });
  } catch (error) {
    return translator(deps, signal)(error, `read why VM ${target.name} failed`);
  }
}

function nameOf(placement: Placement): string {
  return placement.zone === "" ? placement.size : `${placement.size} in zone ${placement.zone}`;
}
