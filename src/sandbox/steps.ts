import { describeError, type ErrorKind, isCaaError } from "../errors/index.ts";
import type { SandboxRecord } from "../journal/index.ts";
import type { Log, LogFields } from "../platform/index.ts";
import type { LifecycleNotice, LifecycleStep, PodRef } from "./notices.ts";
import type { SandboxDeps } from "./ports.ts";
import type { PodRequest } from "./request.ts";

type Deps = Pick<SandboxDeps, "onNotice" | "log">;

/** Tells whoever wants to know. What they make of it is not the lifecycle's business, their failures included. */
export function notify(deps: Deps, notice: LifecycleNotice): void {
  try {
    deps.onNotice?.(notice);
  } catch (error) {
    deps.log.warn("a notice of the lifecycle could not be dealt with", {
      step: notice.kind,
      error: describeError(error),
    });
  }
}

/** What a step is about. */
export interface StepSubject {
  readonly step: LifecycleStep;
  readonly pod?: PodRef;
  readonly vmName: string;
}

/**
 * Does `work` and tells how it ended and how long it took. A step that `shutdown` has cut is not told: the next owner does it
 * again.
 */
export async function asStep<T>(
  deps: Deps & Pick<SandboxDeps, "clock">,
  subject: StepSubject,
  shutdown: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const startedMs = deps.clock.monotonicMs();
  const durationMs = (): number => deps.clock.monotonicMs() - startedMs;
  try {
    const result = await work();
    logPart(deps.log, subject, durationMs());
    notify(deps, { kind: "done", ...subject, durationMs: durationMs() });
    return result;
  } catch (error) {
    if (!shutdown?.aborted)
      notify(deps, { kind: "failed", ...subject, durationMs: durationMs(), error: noticedError(error) });
    throw error;
  }
}

/** What is answered is on the disk, and keys that are needed no more have left it. A disk that fails now undoes nothing. */
export async function toDisk({ journal, log }: Pick<SandboxDeps, "journal" | "log">): Promise<void> {
  try {
    await journal.durable();
  } catch (error) {
    log.error("the journal cannot be brought to the disk", { error: describeError(error) });
  }
}

/** The parts of calls; the calls themselves, and what fails, are logged by whoever decides what comes of it. */
const PARTS: Partial<Readonly<Record<LifecycleStep, string>>> = {
  "vm.create": "the VM has an address",
  "tunnel.set-up": "the tunnel is set up",
  link: "the VM's agent can be reached",
  "tunnel.remove": "the tunnel is removed",
};

function logPart(log: Log, { step, pod, vmName }: StepSubject, durationMs: number): void {
  const message = PARTS[step];
  if (message !== undefined) log.info(message, { ...podFields(pod), vmName, step, durationMs });
}

/** How log lines name a pod. */
export const podFields = (pod: PodRef | undefined): LogFields =>
  pod === undefined ? {} : { sandboxId: pod.sandboxId, pod: `${pod.podNamespace}/${pod.podName}` };

/** Kind and text of what was thrown; what is no error of ours is `internal`. */
export function noticedError(error: unknown): { readonly kind: ErrorKind; readonly message: string } {
  return { kind: isCaaError(error) ? error.kind : "internal", message: describeError(error) };
}

/** The pod that a journaled sandbox belongs to. */
export function podRef(record: SandboxRecord): PodRef {
  return {
    sandboxId: record.id,
    podNamespace: record.podNamespace,
    podName: record.podName,
    podUid: record.podUid,
  };
}

/** The pod that a CreateVM is for. */
export function requestedPod(request: PodRequest): PodRef {
  return {
    sandboxId: request.sandboxId,
    podNamespace: request.podNamespace,
    podName: request.podName,
    podUid: request.podUid === "" ? undefined : request.podUid,
  };
}
