import {
  type CaaError,
  cancelled,
  deadlineExceeded,
  gone,
  invalidRequest,
  tooLarge,
  unavailable,
} from "../../src/errors/index.ts";
import type { CreateOptions, Vm, VmRequest } from "../contract.ts";
import { classifyError, type RetryPolicy, retry } from "../retry/index.ts";
import { fromFailure, type Instance } from "./api/index.ts";
import { clusterOf } from "./config.ts";
import { deleteVm } from "./delete.ts";
import { about, type IbmDeps, translator } from "./deps.ts";
import { chooseImage, type IbmImage } from "./images.ts";
import { buildInstance, interfacesOf, MAX_USER_DATA_BYTES } from "./instance-body.ts";
import { failureOf, isSettled, lifecycleOf, viewInstance } from "./instance-view.ts";
import { nameOf, type Placement } from "./placement.ts";
import type { Site } from "./site.ts";
import { submitVm } from "./submit.ts";
import { readTags, tagsOf } from "./tags.ts";

/**
 * Makes the VM, tags it, and waits until IBM calls it running and it has its addresses. Where a profile or place has no
 * room the next one is tried, up to four in all, after what is left of the failed one is deleted.
 */
export async function createVm(deps: IbmDeps, request: VmRequest, options: CreateOptions): Promise<Vm> {
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
        `VM ${request.name} was not running with an address within ${Math.round(deps.config.createTimeoutMs / 1000)} s (IBMCLOUD_CREATE_TIMEOUT): see its status and console in IBM Cloud`,
        { cause: error },
      );
    }
    throw about(translator(deps, signal)(error, `create VM ${request.name}`), request.name);
  } finally {
    stop();
  }
}

/** What no call to IBM could make right. */
function refuseUnservable(request: VmRequest): void {
  const bytes = Buffer.byteLength(request.userData.reveal());
  if (bytes > MAX_USER_DATA_BYTES) {
    throw tooLarge(
      `user data of VM ${request.name} has ${bytes} bytes and IBM Cloud takes ${MAX_USER_DATA_BYTES}: shorten the initdata or the registry credentials`,
    );
  }
  if (!/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/.test(request.name)) {
    throw invalidRequest(`${JSON.stringify(request.name)} is not a VM name that IBM Cloud takes`);
  }
}

async function createSomewhere(deps: IbmDeps, request: VmRequest, options: CreateOptions): Promise<Vm> {
  const { signal } = options;
  const site = await deps.site(signal);
  const placements = await deps.placements.plan(site, request.size, signal);
  let last: CaaError | undefined;
  for (const placement of placements) {
    if (last) {
      options.onProgress(`no room so far; trying ${nameOf(placement)}`);
      await deleteVm(deps, { name: request.name }, signal);
    }
    try {
      return await createAt(deps, { request, site, placement }, options);
    } catch (error) {
      const failed = translator(deps, signal)(error, `create VM ${request.name}`, nameOf(placement));
      if (classifyError(failed) !== "elsewhere") throw failed;
      deps.placements.recordMiss(placement);
      deps.log.warn("no room for a VM", { vmName: request.name, step: "create", error: failed.message });
      last = failed;
    }
  }
  throw last ?? invalidRequest(`no profile and zone are left to try for VM ${request.name}`);
}

interface Attempt {
  readonly request: VmRequest;
  readonly site: Site;
  readonly placement: Placement;
}

async function createAt(deps: IbmDeps, attempt: Attempt, options: CreateOptions): Promise<Vm> {
  const { signal } = options;
  const { request, site, placement } = attempt;
  const { config } = deps;
  const place = nameOf(placement);
  const image = await imageFor(deps, attempt, signal);
  const clusterId = clusterOf(config, deps.owner.clusterId) || deps.owner.clusterId;
  const tags = tagsOf({ userTags: config.tags, clusterId }, request);
  options.onProgress(`asking IBM Cloud for ${place}`);
  const body = buildInstance({ config, site, request, placement, imageId: image.id, tags });
  const made = await submitVm(deps, { request, body, place }, signal);
  options.onId(made.id);
  options.onProgress("tagging the VM");
  await attachTags(deps, { instance: made, tags }, signal);
  options.onProgress(`waiting for IBM Cloud to start ${place}`);
  const interfaces = interfacesOf(config, request);
  return viewInstance(
    await awaitRunning(deps, { id: made.id, place, request, interfaces }, signal),
    readTags(tags),
  );
}

/** The pod's own image, else the first configured one, that fits profile and zone. */
async function imageFor(deps: IbmDeps, attempt: Attempt, signal: AbortSignal): Promise<IbmImage> {
  const { profile, spot } = attempt.placement;
  const wish = {
    architecture: profile.architecture,
    secureExecution: profile.secureExecution,
    zone: spot.zone,
  };
  const { image } = attempt.request;
  if (image !== "") return await deps.images.named(image, wish, signal);
  return chooseImage(await deps.images.configured(signal), wish);
}

/** While the VM boots there is time: the tagging service may need some to hear of a new instance. */
const TAG_RETRY: RetryPolicy = { tries: 6, baseMs: 3000, capMs: 20_000, budgetMs: 90_000 };

/** A VM without tags would be found by its name alone, so tagging must succeed. */
async function attachTags(
  deps: IbmDeps,
  what: { readonly instance: Instance; readonly tags: readonly string[] },
  signal: AbortSignal,
): Promise<void> {
  const { instance, tags } = what;
  const { crn, name } = instance;
  if (crn === "") throw unavailable(`IBM told no CRN for VM ${name}, so it cannot be tagged: try again`);
  await retry(
    { clock: deps.clock },
    {
      policy: TAG_RETRY,
      // "Not found" means not known yet.
      retryable: (error) => classifyError(error) === "gone" || classifyError(error) === "retry",
      operation: async () => {
        try {
          await deps.api.attachTags(crn, tags, signal);
        } catch (error) {
          throw translator(deps, signal)(error, `tag VM ${name}`);
        }
      },
    },
    signal,
  );
}

interface Awaited {
  readonly id: string;
  readonly place: string;
  readonly request: VmRequest;
  readonly interfaces: number;
}

/** Waits until the VM runs, together with everyone else who waits for one. Throws what its failure means. */
async function awaitRunning(deps: IbmDeps, awaited: Awaited, signal: AbortSignal): Promise<Instance> {
  const { id, interfaces } = awaited;
  const { name } = awaited.request;
  for (;;) {
    const seen = await deps.fleet.poll.wait(id, (one) => isSettled(one, interfaces), signal);
    // A list may be older than the VM.
    const instance = seen ?? (await deps.fleet.find(id, signal));
    if (!instance || lifecycleOf(instance) === "deleting") {
      throw gone(`VM ${name} disappeared while it was made: somebody deleted it`);
    }
    if (!isSettled(instance, interfaces)) continue;
    const failure = failureOf(instance);
    if (!failure) return instance;
    const what = `create VM ${name}`;
    throw fromFailure(failure, { what, place: awaited.place, nowMs: deps.clock.wallMs() });
  }
}
