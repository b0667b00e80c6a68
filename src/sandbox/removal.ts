import { describeError } from "../errors/index.ts";
import type { SandboxDeps } from "./ports.ts";
import { SharedTask } from "./shared-task.ts";
import { asStep, podRef } from "./steps.ts";
import type { VmDeleter } from "./vm-deleter.ts";

const RETRY_FIRST_PAUSE_MS = 500;
const RETRY_MAX_PAUSE_MS = 60_000;

/** Takes away what belongs to a sandbox. What fails is tried again, with growing pauses, until it is done. */
export class Removal {
  readonly #deps: SandboxDeps;
  readonly #deleter: VmDeleter;
  readonly #shutdown: AbortSignal;
  readonly #tunnels = new Map<string, SharedTask<void>>();

  constructor(deps: SandboxDeps, deleter: VmDeleter, shutdown: AbortSignal) {
    this.#deps = deps;
    this.#deleter = deleter;
    this.#shutdown = shutdown;
  }

  /** Resolves when nothing of the sandbox is left, its row in the journal included. Rejects at shutdown. */
  async all(id: string): Promise<void> {
    await this.untilDone(id, "stop", () => this.#removeAll(id));
  }

  /** Tunnel and VM of a start that failed; row, socket and directory stay for the answer and its StopVM. */
  async ofFailedStart(id: string): Promise<void> {
    await Promise.all([this.#tearDownTunnel(id), this.#deleteVm(id)]);
  }

  /** A proxy that is gone has closed everything by dying; its socket file goes with the directory. */
  async closeAtProxy(id: string): Promise<void> {
    try {
      await this.#deps.proxy.closeSandbox(id);
    } catch (error) {
      this.#shutdown.throwIfAborted();
      this.#deps.log.warn("the shim-proxy did not close the sandbox", {
        sandboxId: id,
        error: describeError(error),
      });
    }
  }

  async #removeAll(id: string): Promise<void> {
    const { journal, files, config } = this.#deps;
    // The proxy is asked first, so that it lets go of the VM before the cloud has ended it.
    await Promise.all([this.closeAtProxy(id), this.#tearDownTunnel(id), this.#deleteVm(id)]);
    files.removeDir(`${config.current().podsDir}/${id}`);
    journal.sandboxGone(id);
  }

  async #deleteVm(id: string): Promise<void> {
    const vm = this.#deps.journal.vmOf(id);
    if (vm !== undefined) await this.#deleter.delete(vm.name, vm.vmId);
  }

  /** One at a time: the cleaning after a failed start and its StopVM would get in each other's way. */
  #tearDownTunnel(id: string): Promise<void> {
    const running = this.#tunnels.get(id);
    if (running !== undefined) return running.join();
    const task = new SharedTask(() => this.#tearDownTunnelNow(id));
    this.#tunnels.set(id, task);
    void task.settled().then(() => this.#tunnels.delete(id));
    return task.join();
  }

  async #tearDownTunnelNow(id: string): Promise<void> {
    const { journal, networking } = this.#deps;
    const record = journal.sandbox(id);
    const plan = record?.tunnelJson;
    if (record === undefined || plan === undefined) return;
    const subject = { step: "tunnel.remove", pod: podRef(record), vmName: record.vmName } as const;
    const tearDown = async (): Promise<void> => {
      await networking.tearDown(plan, this.#shutdown);
      journal.tunnelGone(id);
    };
    await this.untilDone(id, subject.step, () => asStep(this.#deps, subject, this.#shutdown, tearDown));
  }

  /** Tries `work` until it succeeds. Rejects at shutdown. */
  async untilDone(id: string, step: string, work: () => Promise<void>): Promise<void> {
    for (let pauseMs = RETRY_FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, RETRY_MAX_PAUSE_MS)) {
      this.#shutdown.throwIfAborted();
      try {
        return await work();
      } catch (error) {
        this.#shutdown.throwIfAborted();
        const fields = { sandboxId: id, step, pauseMs, error: describeError(error) };
        this.#deps.log.error("a step failed and is tried again", fields);
        await this.#deps.clock.sleep(pauseMs, this.#shutdown);
      }
    }
  }
}
