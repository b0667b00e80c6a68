import { alreadyExists, type CaaError } from "../../src/errors/index.ts";
import { OwnerTag, type VmRequest } from "../contract.ts";
import { classifyError, nextWaitMs, pause, type RetryPolicy } from "../retry/index.ts";
import { type Instance, ibmFailure, isNameTaken } from "./api/index.ts";
import { type IbmDeps, translator } from "./deps.ts";
import { lifecycleOf } from "./instance-view.ts";
import { hasTag, readTags } from "./tags.ts";

/** A create call is made at most three times; between them we look whether an earlier one arrived. */
const RETRY: RetryPolicy = { tries: 3, baseMs: 2000, capMs: 8000, budgetMs: 30_000 };

export interface Submission {
  readonly request: VmRequest;
  readonly body: object;
  /** The profile and place, for messages. */
  readonly place: string;
}

/**
 * Sends the create call; names are unique in a region, so there is one VM of that name at most. One that exists is adopted
 * if its sandbox is ours. After an answer that was lost or came from a failing server it looks before it repeats. Throws
 * `already-exists` for another sandbox's VM, else what IBM's refusal means.
 */
export async function submitVm(deps: IbmDeps, call: Submission, signal: AbortSignal): Promise<Instance> {
  const { name } = call.request;
  const translate = translator(deps, signal);
  for (let attempt = 1; ; attempt++) {
    let failed: CaaError;
    try {
      const made = await deps.api.createInstance(call.body, signal);
      deps.uncertain.delete(name);
      return made;
    } catch (error) {
      failed = translate(error, `create VM ${name}`, call.place);
      const failure = ibmFailure(error, deps.clock.wallMs());
      // No status: the call may have arrived. 5xx: it may have been carried out. A refused one was not begun.
      const unclear = failure === undefined || failure.status >= 500 || failure.status === 408;
      if (unclear) deps.uncertain.add(name);
      const exists = failure !== undefined && isNameTaken(failure);
      if (signal.aborted || !(exists || (unclear && classifyError(failed) === "retry"))) throw failed;
    }
    const ours = await adopt(deps, call.request, signal);
    if (ours) return ours;
    if (attempt >= RETRY.tries) throw failed;
    const waitMs = nextWaitMs(RETRY, attempt, { askedMs: failed.retryAfterMs, random: () => 0.5 });
    await pause(deps.clock, waitMs, signal);
  }
}

/** The VM of that name if it is ours. One that is on its way out is waited for: then the name is free. */
async function adopt(deps: IbmDeps, request: VmRequest, signal: AbortSignal): Promise<Instance | undefined> {
  const { name } = request;
  const translate = translator(deps, signal);
  try {
    const [instance] = await deps.fleet.named(name, signal);
    if (!instance) return undefined;
    await refuseForeign(deps, { request, instance }, signal);
    deps.uncertain.delete(name);
    if (lifecycleOf(instance) !== "deleting") {
      deps.log.info("adopted a VM that exists already", { vmName: name });
      return instance;
    }
    await deps.fleet.poll.wait(instance.id, (one) => one === undefined, signal);
    return undefined;
  } catch (error) {
    throw translate(error, `look for VM ${name}`);
  }
}

/**
 * Throws `already-exists` unless the VM is the request's. The boot volume's tags are written with the VM, its own
 * afterwards; where neither says anything yet, the exact name, which has the sandbox's id in it and is in our journal, counts.
 */
async function refuseForeign(
  deps: IbmDeps,
  found: { readonly request: VmRequest; readonly instance: Instance },
  signal: AbortSignal,
): Promise<void> {
  const { request, instance } = found;
  const site = await deps.site(signal);
  const refuse = (whose: string): Error =>
    alreadyExists(`VM ${instance.name} exists and belongs to ${whose}: delete it, or rename the pod`);
  if (instance.vpc && instance.vpc.id !== site.vpcId)
    throw refuse(`VPC ${instance.vpc.id}, which is not ours`);
  const tags = await ownersTags(deps, instance, signal);
  const theirs = tags[OwnerTag.Sandbox];
  if (theirs === undefined || hasTag(tags, OwnerTag.Sandbox, request.tags[OwnerTag.Sandbox] ?? "")) return;
  throw refuse(`sandbox ${theirs}`);
}

async function ownersTags(
  deps: IbmDeps,
  instance: Instance,
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>>> {
  const volumeId = instance.boot_volume_attachment?.volume?.id;
  if (volumeId !== undefined) {
    try {
      const tags = readTags((await deps.api.volume(volumeId, signal)).user_tags);
      if (tags[OwnerTag.Sandbox] !== undefined) return tags;
    } catch (error) {
      const failed = translator(deps, signal)(error, `read the boot volume of VM ${instance.name}`);
      if (failed.kind !== "gone") throw failed;
    }
  }
  return instance.crn === "" ? {} : readTags(await deps.api.tagsOf(instance.crn, signal));
}
