import { describeError, isCaaError } from "../errors/index.ts";
import type { SandboxDeps } from "./ports.ts";
import { SharedTask } from "./shared-task.ts";
import { asStep, podFields, podRef, type StepSubject } from "./steps.ts";

const FIRST_PAUSE_MS = 1000;

/** How many failed attempts make a line in the log an error that a person must read. */
const ATTEMPTS_BEFORE_ERROR = 3;

type Deps = Pick<SandboxDeps, "clock" | "log" | "journal" | "provider" | "config" | "onNotice">;

/**
 * Deletes VMs until the cloud says that they are gone, with growing pauses, across restarts: what is to go is a row in
 * the journal. A slot is free only when its VM is gone.
 */
export class VmDeleter {
  readonly #deps: Deps;
  readonly #onGone: () => void;
  readonly #shutdown: AbortSignal;
  readonly #tasks = new Map<string, SharedTask<void>>();

  constructor(deps: Deps, onGone: () => void, shutdown: AbortSignal) {
    this.#deps = deps;
    this.#onGone = onGone;
    this.#shutdown = shutdown;
  }

  /** Names of the VMs being deleted now. */
  get names(): readonly string[] {
    return [...this.#tasks.keys()];
  }

  /** Resolves when the VM of this name, journaled as deleting, is gone; joins a delete that runs. Rejects at shutdown. */
  delete(name: string, vmId: string | undefined): Promise<void> {
    const running = this.#tasks.get(name);
    if (running !== undefined) return running.join();
    const task = new SharedTask(() => this.#untilGone(name, vmId));
    this.#tasks.set(name, task);
    void task.settled().then(() => this.#tasks.delete(name));
    return task.join();
  }

  async settled(): Promise<void> {
    await Promise.all([...this.#tasks.values()].map((task) => task.settled()));
  }

  async #untilGone(name: string, vmId: string | undefined): Promise<void> {
    const { clock, journal, log } = this.#deps;
    const subject = this.#subject(name);
    const about = { ...podFields(subject.pod), vmName: name, step: subject.step };
    const startedMs = clock.monotonicMs();
    for (let attempt = 1; ; attempt++) {
      try {
        await asStep(this.#deps, subject, this.#shutdown, () => this.#attempt(name, vmId));
        journal.vmGone(name);
        log.info("VM is gone", { ...about, attempt, durationMs: clock.monotonicMs() - startedMs });
        this.#onGone();
        return;
      } catch (error) {
        this.#shutdown.throwIfAborted();
        const pauseMs = this.#pauseMs(attempt, error);
        const fields = { ...about, attempt, pauseMs, error: describeError(error) };
        if (attempt >= ATTEMPTS_BEFORE_ERROR)
          log.error("VM cannot be deleted; it keeps its slot and is tried again", fields);
        else log.warn("VM could not be deleted and is tried again", fields);
        this.#recordFailure(name, describeError(error));
        await clock.sleep(pauseMs, this.#shutdown);
      }
    }
  }

  #subject(vmName: string): StepSubject {
    const { journal } = this.#deps;
    try {
      const owner = journal.vm(vmName)?.sandboxId;
      const record = owner === undefined ? undefined : journal.sandbox(owner);
      return { step: "vm.delete", vmName, ...(record && { pod: podRef(record) }) };
    } catch {
      // A journal that cannot be read must not end the deleting: then it is not known whose VM it was.
      return { step: "vm.delete", vmName };
    }
  }

  async #attempt(name: string, vmId: string | undefined): Promise<void> {
    const { clock, provider, config } = this.#deps;
    const signal = AbortSignal.any([this.#shutdown, clock.timeout(config.current().deleteAttemptMs)]);
    await provider.delete(vmId === undefined ? { name } : { name, id: vmId }, signal);
  }

  /** A journal that cannot be written must not end the deleting. */
  #recordFailure(name: string, text: string): void {
    try {
      this.#deps.journal.vmDeleteFailed(name, text);
    } catch (error) {
      this.#deps.log.error("the journal cannot be written", { vmName: name, error: describeError(error) });
    }
  }

  #pauseMs(attempt: number, error: unknown): number {
    const grown = Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), this.#deps.config.current().deleteRetryMaxMs);
    const jittered = grown * (0.8 + Math.random() * 0.4);
    const asked = isCaaError(error, "throttled") ? (error.retryAfterMs ?? 0) : 0;
    return Math.max(jittered, asked);
  }
}
