import { type OwnerLock, takeOwnerLock } from "../journal/index.ts";
import type { Clock, Log } from "../platform/index.ts";
import type { AdaptorConfig } from "./config.ts";

/** How often the lock file is looked at. */
const LOCK_CHECK_MS = 2000;

/** Stands by until the node is ours. Undefined: told to stop before. */
export async function waitForLock(
  config: AdaptorConfig,
  deps: { readonly clock: Clock; readonly log: Log; readonly onWait: () => void },
  stop: AbortSignal,
): Promise<OwnerLock | undefined> {
  const onWait = (): void => {
    deps.log.info("another control plane owns the node; standing by");
    deps.onWait();
  };
  try {
    return await takeOwnerLock({ clock: deps.clock, onWait }, config.paths.stateDir, stop);
  } catch (error) {
    if (stop.aborted) return undefined;
    throw error;
  }
}

/** Without its lock file another process may become the owner: then this one must not act any more. */
export function watchLock(
  lock: OwnerLock,
  clock: Clock,
  log: Log,
): { readonly signal: AbortSignal; cancel(): void } {
  const lost = new AbortController();
  let cancel = (): void => undefined;
  const look = (): void => {
    if (lock.isSound()) {
      cancel = clock.schedule(LOCK_CHECK_MS, look);
      return;
    }
    log.error(
      "lock.db was removed or replaced in the state directory; this control plane ends, pods go on. Leave that file alone",
    );
    lost.abort(new Error("the owner lock was lost"));
  };
  look();
  return { signal: lost.signal, cancel: () => cancel() };
}
