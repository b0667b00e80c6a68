import { unavailable } from "../../src/errors/index.ts";
import type { VmRef } from "../contract.ts";
import { classifyError, pause, type RetryPolicy, retry } from "../retry/index.ts";
import { about, type IbmDeps, translator } from "./deps.ts";
import { removeLeftovers } from "./leftovers.ts";

/** A delete that collides with another operation, or fails in the middle, is begun again. */
const RETRY: RetryPolicy = { tries: 6, baseMs: 5000, capMs: 30_000, budgetMs: 150_000 };

/** But not once this much has gone by: the caller repeats a delete that failed, and may know better by then. */
const BEGIN_AGAIN_MS = 300_000;

/** Longest wait for one instance to be gone. */
const GONE_MS = 300_000;

/** Looks for a VM whose create call may still arrive, and the time between them. */
const UNCERTAIN_LOOKS = 4;
const UNCERTAIN_PAUSE_MS = 5000;

/**
 * Deletes the VM, by id and by exact name, and resolves when it, its interfaces and its boot volume are gone; what is gone
 * already is success. Volumes that were attached are kept.
 */
export async function deleteVm(deps: IbmDeps, ref: VmRef, signal: AbortSignal): Promise<void> {
  const untilMs = deps.clock.monotonicMs() + BEGIN_AGAIN_MS;
  const what = `delete VM ${ref.name}`;
  try {
    await retry(
      { clock: deps.clock },
      {
        policy: RETRY,
        retryable: (error) => classifyError(error) === "retry" && deps.clock.monotonicMs() < untilMs,
        operation: async () => {
          try {
            await removeAll(deps, ref, signal);
            await awaitStragglers(deps, ref, signal);
            await removeLeftovers(deps, ref.name, signal);
          } catch (error) {
            throw translator(deps, signal)(error, what);
          }
        },
      },
      signal,
    );
  } catch (error) {
    throw about(translator(deps, signal)(error, what), ref.name);
  }
}

/** An id alone is not enough: after a place without room the same name may belong to a later instance. */
async function removeAll(deps: IbmDeps, ref: VmRef, signal: AbortSignal): Promise<void> {
  const named = ref.name === "" ? [] : await deps.fleet.named(ref.name, signal);
  const ids = new Set([...(ref.id ? [ref.id] : []), ...named.map(({ id }) => id)]);
  await Promise.all([...ids].map((id) => removeOne(deps, id, signal)));
}

async function removeOne(deps: IbmDeps, id: string, signal: AbortSignal): Promise<void> {
  try {
    await deps.api.deleteInstance(id, signal);
  } catch (error) {
    const failed = translator(deps, signal)(error, `delete instance ${id}`);
    if (failed.kind === "gone") return;
    throw failed;
  }
  const late = new AbortController();
  const stop = deps.clock.schedule(GONE_MS, () => late.abort());
  try {
    const both = AbortSignal.any([signal, late.signal]);
    // One that is missing in a list may only be missing there.
    do {
      await deps.fleet.poll.wait(id, (one) => one === undefined, both);
    } while (await deps.fleet.find(id, both));
  } catch (error) {
    if (signal.aborted || !late.signal.aborted) throw error;
    throw unavailable(`instance ${id} is still there ${GONE_MS / 1000} s after its delete: try again`);
  } finally {
    stop();
  }
}

/** A create call without an answer may reach IBM after our delete: then the VM is met here, and deleted. */
async function awaitStragglers(deps: IbmDeps, ref: VmRef, signal: AbortSignal): Promise<void> {
  if (!deps.uncertain.has(ref.name)) return;
  for (let look = 1; look <= UNCERTAIN_LOOKS; look++) {
    await pause(deps.clock, UNCERTAIN_PAUSE_MS, signal);
    await removeAll(deps, { name: ref.name }, signal);
  }
  deps.uncertain.delete(ref.name);
}
