import { describeError } from "../errors/index.ts";
import type { SandboxManager } from "./manager.ts";
import type { SandboxDeps } from "./ports.ts";
import { SharedTask } from "./shared-task.ts";
import { notify } from "./steps.ts";

/** How many lists in a row must lack a sandbox. */
const LOOKS_UNTIL_ABSENT = 3;
/** How often the container runtime is asked about a sandbox whose shim is gone. */
const RUNTIME_POLL_MS = 5000;
/** Pause before a stop that could not be recorded is tried again. */
const STOP_RETRY_MS = 10_000;

type Deps = Pick<SandboxDeps, "clock" | "log" | "runtime" | "config" | "onNotice">;

/**
 * Stops sandboxes whose shim is gone for good. A shim that is killed never sends StopVM, and the Rust shim's may get
 * lost; the closed connections tell, and the container runtime has to agree. Without a runtime to ask, a grace time decides.
 */
export class ShimWatch {
  readonly #deps: Deps;
  readonly #manager: SandboxManager;
  readonly #watched = new Map<string, SharedTask<void>>();
  /** Sandboxes whose shim has a connection to its agent. */
  readonly #connected = new Set<string>();

  constructor(deps: Deps, manager: SandboxManager) {
    this.#deps = deps;
    this.#manager = manager;
  }

  /** The sandbox seems to have lost its shim. Watching twice is watching once. */
  suspect(id: string, reason: string): void {
    this.disconnected(id);
    if (this.#watched.has(id)) return;
    this.#deps.log.info("the shim of a sandbox seems to be gone", { sandboxId: id, reason });
    this.#watch(id, (abort) => this.#decide(id, reason, abort));
  }

  /**
   * StartVM has succeeded, so the shim connects to the agent at once. One that was killed in that very moment never does,
   * and nothing else would tell of it.
   */
  expectConnection(id: string): void {
    if (this.#connected.has(id) || this.#watched.has(id)) return;
    const { clock, config } = this.#deps;
    this.#watch(id, async (abort) => {
      await clock.sleep(config.current().orphanGraceMs, AbortSignal.any([abort, this.#manager.closing]));
      await this.#decide(id, "no shim has connected since StartVM", abort);
    });
  }

  #watch(id: string, work: (abort: AbortSignal) => Promise<void>): void {
    const task = new SharedTask(work);
    this.#watched.set(id, task);
    void task.settled().then(() => {
      if (this.#watched.get(id) === task) this.#watched.delete(id);
    });
  }

  /** The last connection of the shim is closed; what that means depends on the sandbox. */
  disconnected(id: string): void {
    this.#connected.delete(id);
  }

  /** The shim is there (after all). */
  trust(id: string): void {
    this.#connected.add(id);
    this.#watched.get(id)?.abort(new Error("the shim is back"));
    this.#watched.delete(id);
  }

  async #decide(id: string, reason: string, abort: AbortSignal): Promise<void> {
    const { clock, config, log, runtime } = this.#deps;
    const signal = AbortSignal.any([abort, this.#manager.closing]);
    if (runtime === undefined) await clock.sleep(config.current().orphanGraceMs, signal);
    else await this.#untilRuntimeAgrees(id, signal);
    log.warn("stopping a sandbox that has no shim any more", { sandboxId: id, reason });
    notify(this.#deps, { kind: "abandoned", sandboxId: id, reason });
    await this.#stopForSure(id);
  }

  /** Nobody else will ask for this stop again: a journal that cannot be written now must not lose it. */
  async #stopForSure(id: string): Promise<void> {
    const { closing } = this.#manager;
    for (;;) {
      try {
        return await this.#manager.stop(id, closing);
      } catch (error) {
        closing.throwIfAborted();
        this.#deps.log.error("a sandbox that has no shim any more could not be stopped and is tried again", {
          sandboxId: id,
          error: describeError(error),
        });
        await this.#deps.clock.sleep(STOP_RETRY_MS, closing);
      }
    }
  }

  /** A runtime that does not answer agrees to nothing. */
  async #untilRuntimeAgrees(id: string, signal: AbortSignal): Promise<void> {
    const { clock, log, runtime } = this.#deps;
    let looksAbsent = 0;
    for (;;) {
      signal.throwIfAborted();
      try {
        const state = (await runtime?.list(signal))?.get(id);
        if (state === "not-ready") return;
        // A sandbox is not listed until its shim has started it: one look at a new one proves nothing.
        looksAbsent = state === undefined ? looksAbsent + 1 : 0;
        if (looksAbsent >= LOOKS_UNTIL_ABSENT) return;
      } catch (error) {
        signal.throwIfAborted();
        log.warn("the container runtime cannot be asked about a sandbox", {
          sandboxId: id,
          error: describeError(error),
        });
      }
      await clock.sleep(RUNTIME_POLL_MS, signal);
    }
  }
}
